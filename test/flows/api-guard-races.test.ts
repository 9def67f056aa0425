/** Something changes between the moment that a call is judged to need nobody and the moment that it is carried out. */
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import type { Pattern } from '../../core/mail/pattern.ts';
import { readAccount, updateAccount } from '../../core/store/account.ts';
import { addToAllowlist, listAllowlist } from '../../core/store/allowlists.ts';
import { type Reply, startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const db = () => api.runtime.database.pool;
const CLI = system('cli');
const admin = async () =>
  (await api.key({ scopes: ['admin'], principal: { kind: 'user', name: 'admin' } })).apiKey;

/** Makes the call while `change` is done and not yet committed; it is committed once the call waits for it, or is over. */
async function during(
  change: { text: string; values: unknown[] },
  call: () => Promise<Reply>,
): Promise<Reply> {
  let over = false;
  const { promise: called, resolve } = Promise.withResolvers<Promise<Reply>>();
  await api.runtime.database.transaction(async (held) => {
    await held.query(change);
    const asked = call().finally(() => {
      over = true;
    });
    resolve(asked);
    while (!over && !(await somebodyWaits())) await pause(10);
  });
  return called;
}

async function somebodyWaits(): Promise<boolean> {
  const { rows } = await db().query(
    `select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
  );
  return rows.length > 0;
}

test('a watcher who is set just now is not lost to a call that found nobody to lose', async () => {
  const { id } = await api.mailbox('race@ours.example', 'gated_send');
  const reply = await during(
    { text: `update mailboxes set auto_bcc = 'watcher@remote.example' where id = $1`, values: [id] },
    async () =>
      api.call('PATCH', `/v1/mailboxes/${id}`, {
        key: await admin(),
        body: { oversight_mode: 'gated_all', auto_bcc: null },
      }),
  );
  expect(reply).toMatchObject({ status: 503, json: { code: 'unavailable' } });
  expect(reply.headers.get('retry-after')).toBe('1');
  const { rows } = await db().query('select auto_bcc, oversight_mode from mailboxes where id = $1', [id]);
  expect(rows[0]).toEqual({ auto_bcc: 'watcher@remote.example', oversight_mode: 'gated_send' });
});

test('U-07: a scope taken from a key just now does not come back by a call that found it there', async () => {
  const { id } = await api.key({ scopes: ['oversight'], principal: { kind: 'user', name: 'former' } });
  const reply = await during(
    { text: `update api_keys set scopes = '{read}' where id = $1`, values: [id] },
    async () =>
      api.call('PATCH', `/v1/api-keys/${id}`, {
        key: await admin(),
        body: { name: 'renamed', scopes: ['oversight'] },
      }),
  );
  expect(reply).toMatchObject({ status: 503, json: { code: 'unavailable' } });
  const { rows } = await db().query('select scopes from api_keys where id = $1', [id]);
  expect(rows[0]).toEqual({ scopes: ['read'] });
});

test('an allowlist entry removed just now does not come back by a call that found it there', async () => {
  const { id } = await api.mailbox('allowing@ours.example', 'gated_send');
  await addToAllowlist(db(), id, ['*@remote.example' as Pattern], CLI);
  await during({ text: 'delete from allowlist_entries where mailbox_id = $1', values: [id] }, async () =>
    api.call('POST', `/v1/mailboxes/${id}/allowlist`, {
      key: await admin(),
      body: { pattern: '*@remote.example' },
    }),
  );
  expect(await listAllowlist(db(), id)).toEqual([]);
});

test('the oversight address changed just now is not set back by who names the one of before, or another field', async () => {
  const before = (await readAccount(db())).oversightAddress!;
  const moved = { text: 'update account set oversight_address = $1', values: ['moved@remote.example'] };
  const reply = await during(moved, async () =>
    api.confirm('PATCH', '/v1/account', {
      key: await admin(),
      body: { name: 'Elsewhere', oversight_email: before },
    }),
  );
  expect(reply).toMatchObject({ status: 503, json: { code: 'unavailable' } });
  expect((await readAccount(db())).oversightAddress).toBe('moved@remote.example');

  await updateAccount(db(), { oversightAddress: before }, CLI);
  const other = await during(moved, async () =>
    api.confirm('PATCH', '/v1/account', { key: await admin(), body: { name: 'Elsewhere' } }),
  );
  expect(other).toMatchObject({ status: 200 });
  expect(await readAccount(db())).toMatchObject({
    name: 'Elsewhere',
    oversightAddress: 'moved@remote.example',
  });
});

test('a mailbox closed just now gets no key and no login', async () => {
  for (const [path, body] of [
    ['/v1/api-keys', { name: 'late' }],
    ['/v1/logins', {}],
  ] as const) {
    const { id } = await api.mailbox(`closing${path.length}@ours.example`, 'gated_send');
    const reply = await during(
      {
        text: 'update mailboxes set is_active = false, deleted_at = now() where id = $1',
        values: [id],
      },
      async () => api.confirm('POST', path, { key: await admin(), body: { ...body, mailbox: id } }),
    );
    expect(reply).toMatchObject({ status: 404, json: { code: 'not_found' } });
  }
  const { rows } = await db().query(
    'select id from api_keys where mailbox_id is not null union select id from submission_logins',
  );
  expect(rows).toEqual([]);
});
