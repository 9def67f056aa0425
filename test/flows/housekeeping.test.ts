import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newId } from '../../core/mail/id.ts';
import { startHousekeeping } from '../../core/runtime/housekeeping.ts';
import { type Database, openDatabase } from '../../core/store/database.ts';
import { forgetKeys, takeKey } from '../../core/store/idempotency.ts';
import { forgetCalls, takeCall } from '../../core/store/idempotent-requests.ts';
import { createKey } from '../../core/store/keys.ts';
import { beginSession } from '../../core/store/operator-sessions.ts';
import { freshDatabase } from '../support/database.ts';

let own: Awaited<ReturnType<typeof freshDatabase>>;
let database: Database;
const mailboxId = newId();

beforeAll(async () => {
  own = await freshDatabase();
  database = openDatabase({ url: own.url, poolSize: 3 });
});
afterAll(async () => {
  await database.close();
  await own.drop();
});

async function taken(key: string, age: string): Promise<void> {
  const request = { mailboxId, key, requestSha256: Buffer.alloc(32), messageId: newId() };
  expect(await takeKey(database.pool, request)).toBeUndefined();
  await database.pool.query('update idempotency_keys set created_at = now() - $2::interval where key = $1', [
    key,
    age,
  ]);
}

async function keys(): Promise<string[]> {
  const { rows } = await database.pool.query<{ key: string }>(
    'select key from idempotency_keys order by key',
  );
  return rows.map(({ key }) => key);
}

test('keys older than 24 hours are forgotten, younger ones still answer a repeat', async () => {
  await taken('ancient', '30 days');
  await taken('old', '24 hours 1 minute');
  await taken('young', '23 hours 59 minutes');
  const housekeeping = startHousekeeping({ database, log: pino({ level: 'silent' }), everyMs: 20 });
  await expect.poll(keys).toEqual(['young']);
  await taken('later', '25 hours');
  await expect.poll(keys).toEqual(['young']);
  await housekeeping.close();
});

test('at most as many at once as are asked for', async () => {
  for (const key of ['a', 'b', 'c']) await taken(key, '2 days');
  expect(await forgetKeys(database.pool, 2)).toBe(2);
  expect(await keys()).toHaveLength(2);
  expect(await forgetKeys(database.pool, 2)).toBe(1);
});

test('a key that is taken anew at that moment is not forgotten', async () => {
  await taken('again', '2 days');
  let forgotten: Promise<number> | undefined;
  await database.transaction(async (db) => {
    const request = { mailboxId, key: 'again', requestSha256: Buffer.alloc(32), messageId: newId() };
    expect(await takeKey(db, request)).toBeUndefined();
    forgotten = forgetKeys(database.pool, 10);
    await new Promise((resolve) => setTimeout(resolve, 100));
  });
  expect(await forgotten).toBe(0);
  expect(await keys()).toContain('again');
});

test('answers to named requests are forgotten after 24 hours too', async () => {
  for (const key of ['old', 'young']) {
    const call = { operation: 'add_contact', key, requestSha256: Buffer.alloc(32), attempt: newId() };
    expect(await takeCall(database.pool, call)).toBe('taken');
  }
  await database.pool.query(
    "update idempotent_requests set created_at = now() - interval '25 hours' where key = 'old'",
  );
  const housekeeping = startHousekeeping({ database, log: pino({ level: 'silent' }), everyMs: 20 });
  await expect
    .poll(async () => (await database.pool.query('select key from idempotent_requests')).rows)
    .toEqual([{ key: 'young' }]);
  await housekeeping.close();
  expect(await forgetCalls(database.pool, 10)).toBe(0);
});

test('operator sessions that ended long ago are forgotten', async () => {
  const db = database.pool;
  const person = { kind: 'user', name: 'admin' } as const;
  const { id } = await createKey(
    db,
    { name: 'admin', scopes: ['admin'], principal: person },
    'test',
    system('cli'),
  );
  await beginSession(db, id, 900, system('cli'));
  await db.query("update operator_sessions set expires_at = now() - interval '31 days'");
  const young = await beginSession(db, id, 900, system('cli'));
  const housekeeping = startHousekeeping({ database, log: pino({ level: 'silent' }), everyMs: 20 });
  await expect
    .poll(async () => (await db.query('select id from operator_sessions')).rows)
    .toEqual([{ id: young.id }]);
  await housekeeping.close();
});
