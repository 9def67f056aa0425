import { createHash } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { rootAlong } from '../../core/mail/merkle.ts';
import { canonicalJson, publicKeyOf, readToken } from '../../core/mail/token.ts';
import { startCheckpoints } from '../../core/runtime/checkpointing.ts';
import { record } from '../../core/store/audit.ts';
import { type Verification, verifyLog } from '../../core/store/audit-verification.ts';
import { closeCheckpoint, listCheckpoints, logHead } from '../../core/store/checkpoints.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const db = () => api.runtime.database.pool;
const NOW = { events: 1_000, seconds: 0 };

async function close(rules = NOW) {
  const { seq } = await logHead(db());
  return closeCheckpoint(api.runtime.database, seq, rules, await api.runtime.signer.current());
}

async function write(count: number, action = 'test.event'): Promise<void> {
  for (let n = 0; n < count; n++)
    await record(db(), {
      action,
      resourceType: 'test',
      resourceId: `${n}`,
      actor: system('api'),
      metadata: { n },
    });
}

async function verify(kept: { id: string; hash: string }[] = []): Promise<Verification> {
  const keys = new Map((await api.runtime.signer.keys()).map(({ kid, publicKey }) => [kid, publicKey]));
  return verifyLog(db(), (kid) => keys.get(kid), kept);
}

/** What nobody can do by any interface: the triggers are put aside, as who owns the database can. */
async function meddle(statement: string, values: unknown[] = []): Promise<void> {
  await api.runtime.database.transaction(async (one) => {
    for (const table of ['audit_events', 'audit_checkpoints'])
      await one.query(`alter table ${table} disable trigger ${table}_append_only`);
    await one.query(statement, values);
    for (const table of ['audit_events', 'audit_checkpoints'])
      await one.query(`alter table ${table} enable trigger ${table}_append_only`);
  });
}

const get = async (path: string) => {
  const answer = await api.call('GET', path, { key: api.keys.admin });
  expect(answer.status).toBe(200);
  return answer.json;
};

test('a checkpoint closes when there are enough events, or when they have waited long enough', async () => {
  await write(7);
  expect(await close({ events: 1_000, seconds: 600 })).toBeUndefined();
  const first = await close({ events: 5, seconds: 600 });
  expect(first).toMatchObject({ count: 5, previous: null });
  const second = await close(NOW);
  expect(second!.previous).toEqual(first!.hash);
  expect(second!.firstSeq).toBeGreaterThan(first!.lastSeq);
  expect(await close(NOW)).toBeUndefined();
  expect(await verify()).toMatchObject({ findings: [], open: 0 });
});

test('checkpoints are listed newest first, and page by page', async () => {
  await write(3);
  await close();
  const { checkpoints } = await get('/v1/audit-checkpoints');
  const times = checkpoints.map((one: { last_id: string }) => one.last_id);
  expect(times).toEqual(times.toSorted().reverse());
  const page = await get('/v1/audit-checkpoints?limit=1');
  expect(page.checkpoints).toEqual([checkpoints[0]]);
  const next = await get(`/v1/audit-checkpoints?limit=1&cursor=${page.cursor}`);
  expect(next.checkpoints).toEqual([checkpoints[1]]);
  expect(checkpoints.at(-1).previous).toBeNull();
});

test('an event is shown to be covered, with nothing but the proof and the published key', async () => {
  await write(6, 'test.proved');
  await close();
  const { entries } = await get('/v1/audit-log?action=test.proved');
  const [jwk] = (await api.runtime.signer.keys()).map(({ publicJwk }) => publicJwk);
  for (const { id, metadata } of entries) {
    const { proof } = await get(`/v1/audit-log/${id}`);
    expect(JSON.parse(proof.event)).toMatchObject({ action: 'test.proved', metadata });
    const leaf = createHash('sha256').update(proof.event).digest();
    const path = proof.path.map((one: { side: 'left' | 'right'; hash: string }) => ({
      side: one.side,
      hash: Buffer.from(one.hash, 'hex'),
    }));
    const {
      merkle_root,
      hash,
      signature,
      count,
      first_id,
      id: checkpoint,
      last_id,
      previous,
    } = proof.checkpoint;
    expect(rootAlong(leaf, path).toString('hex')).toBe(merkle_root);
    const sealed = canonicalJson({ count, first_id, id: checkpoint, last_id, merkle_root, previous });
    expect(createHash('sha256').update(sealed).digest('hex')).toBe(hash);
    expect(readToken(signature, () => publicKeyOf(jwk!))).toMatchObject({
      signature: 'valid',
      payload: { checkpoint, hash },
    });
  }
  await write(1, 'test.open');
  const [open] = (await get('/v1/audit-log?action=test.open')).entries;
  expect((await get(`/v1/audit-log/${open.id}`)).proof).toBeNull();
});

test('an event that is committed late is waited for, though others came to light before it', async () => {
  await write(1, 'test.before');
  await close();
  const rounds = (seconds: number) =>
    startCheckpoints({
      database: api.runtime.database,
      signer: api.runtime.signer,
      log: pino({ level: 'silent' }),
      everyMs: 20,
      rules: { events: 1_000, seconds },
    });
  const before = (await listCheckpoints(db(), { beforeSeq: null, limit: 1 }))[0]!;
  let running: ReturnType<typeof rounds> | undefined;
  await api.runtime.database.transaction(async (late) => {
    await record(late, { action: 'test.late', resourceType: 'test', resourceId: 'l', actor: system('api') });
    await write(2, 'test.early');
    running = rounds(0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await listCheckpoints(db(), { beforeSeq: null, limit: 1 }))[0]!.id).toBe(before.id);
  });
  await expect.poll(async () => (await verify()).open).toBe(0);
  await running!.close();
  const late = (await get('/v1/audit-log?action=test.late')).entries[0];
  expect((await get(`/v1/audit-log/${late.id}`)).proof).not.toBeNull();
  expect((await verify()).findings).toEqual([]);
});

test('of several processes that close at once one wins, and the chain has no fork', async () => {
  await write(40);
  await Promise.all(Array.from({ length: 5 }, () => close({ events: 10, seconds: 0 })));
  while ((await close({ events: 10, seconds: 0 })) !== undefined);
  expect(await verify()).toMatchObject({ findings: [], open: 0 });
});

describe('A-19 what happens behind our back is found', () => {
  beforeEach(async () => {
    await meddle('delete from audit_checkpoints');
    await write(30);
    await close({ events: 1_000_000, seconds: 0 });
    await write(10);
    await close();
    expect((await verify()).findings).toEqual([]);
  });
  const victim = `(select seq from audit_events where action = 'test.event' order by seq desc offset 15 limit 1)`;
  const first = async () => (await verify()).findings[0];

  test.each([
    ['metadata', `metadata = '{"n":99}'`],
    ['who did it', `actor_name = 'nobody'`],
    ['when it was, by a microsecond', `at = at + interval '1 microsecond'`],
    ['to what state it led', `to_state = 'queued'`],
  ])('an event whose %s was changed is named', async (_, change) => {
    const { rows } = await db().query(`select seq from audit_events where seq = ${victim}`);
    await meddle(`update audit_events set ${change} where seq = ${victim}`);
    const found = await first();
    expect(found).toMatchObject({ kind: 'changed' });
    const { entries } = await get(`/v1/audit-log?limit=100`);
    expect(entries.map(({ id }: { id: string }) => id)).toContain(found!.id);
    expect((await get(`/v1/audit-log/${found!.id}`)).proof).toBeNull();
    expect(rows).toHaveLength(1);
  });

  test('a missing event', async () => {
    await meddle(`delete from audit_events where seq = ${victim}`);
    expect(await first()).toMatchObject({ kind: 'missing' });
  });

  test('an added event', async () => {
    await meddle(`delete from audit_events where action = 'test.gap'`);
    const { rows } = await db().query<{ seq: number }>(`select ${victim} as seq`);
    await meddle('delete from audit_checkpoints where last_seq >= $1', [rows[0]!.seq]);
    await meddle('delete from audit_events where seq = $1', [rows[0]!.seq]);
    while ((await close()) !== undefined);
    expect((await verify()).findings).toEqual([]);
    await meddle(
      `insert into audit_events (seq, action, resource_type, resource_id, actor_type, actor_name)
         overriding system value values ($1, 'message.approved', 'message', 'x', 'system', 'x')`,
      [rows[0]!.seq],
    );
    expect(await first()).toMatchObject({ kind: 'added' });
  });

  test('a checkpoint that was changed, taken out, or signed by someone else', async () => {
    const [last] = await listCheckpoints(db(), { beforeSeq: null, limit: 1 });
    await meddle('update audit_checkpoints set count = count + 1 where id = $1', [last!.id]);
    expect(await first()).toMatchObject({ kind: 'broken_chain', id: last!.id });
    await meddle(`update audit_checkpoints set count = count - 1, signature = 'e30.e30' where id = $1`, [
      last!.id,
    ]);
    expect(await first()).toMatchObject({ kind: 'bad_signature', id: last!.id });
    await meddle('delete from audit_checkpoints where id <> $1', [last!.id]);
    expect(await first()).toMatchObject({ kind: 'broken_chain' });
  });

  test('a chain cut short, compared with a checkpoint that was kept elsewhere', async () => {
    const { checkpoints } = await get('/v1/audit-checkpoints');
    expect((await verify(checkpoints)).findings).toEqual([]);
    await meddle(`delete from audit_events where seq > (select min(last_seq) from audit_checkpoints)`);
    await meddle(`delete from audit_checkpoints where id = $1`, [checkpoints[0].id]);
    expect((await verify()).findings).toEqual([]);
    expect((await verify(checkpoints)).findings).toMatchObject([
      { kind: 'cut_short', id: checkpoints[0].id },
    ]);
  });
});

test('nobody who is not the owner of the database changes or removes a checkpoint', async () => {
  await write(1);
  await close();
  await expect(db().query('update audit_checkpoints set count = 1')).rejects.toThrow(/only ever added to/);
  await expect(db().query('delete from audit_checkpoints')).rejects.toThrow(/only ever added to/);
});
