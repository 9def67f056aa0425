/** What a code is for: all that its mail says, and nothing else; and that neither tries nor what is kept give it away. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fingerprintOf } from '../../api/access/fingerprint.ts';
import { readAccount } from '../../core/store/account.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { mailedNotices } from '../support/notices.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const db = () => api.runtime.database.pool;
/** A key of its own, since codes are limited per key. */
const admin = async () =>
  (await api.key({ scopes: ['admin'], principal: { kind: 'user', name: 'admin' } })).apiKey;

test('the mail leaves out nothing that its code allows', async () => {
  const key = await admin();
  const told = async (method: string, path: string, body: object) => {
    expect((await api.call(method, path, { key, body })).status).toBe(202);
    return (await mailedNotices(db()))[0]!.text.split(/\r?\n/)[2]!.trim();
  };
  await api.mailbox('whole@ours.example', 'gated_send');
  const hook = 'https://203.0.114.7/hook';
  expect(await told('POST', '/v1/mailboxes', { address_local: 'heard', webhook_url: hook })).toBe(
    `make the mailbox "heard" and tell "${hook}" of all its mail`,
  );
  expect(
    await told('POST', '/v1/api-keys', {
      name: 'helper',
      scopes: ['oversight'],
      principal: 'boss',
      owner: 'Ana',
    }),
  ).toBe(
    'make an API key called "helper" that may oversight in all mailboxes, in the name of the agent "boss", for whom "Ana" answers',
  );
  expect(
    await told('POST', '/v1/logins', { mailbox: 'whole@ours.example', username: 'robot', principal: 'boss' }),
  ).toBe(
    'make a login called "robot" that sends mail as "whole@ours.example", in the name of the agent "boss"',
  );
  expect(await told('POST', '/v1/webhooks', { url: hook, events: ['*'] })).toBe(
    `tell "${hook}" of these events in all mailboxes: *`,
  );
  expect(
    await told('POST', '/v1/webhooks', { url: hook, events: ['*'], mailbox_id: 'whole@ours.example' }),
  ).toBe(`tell "${hook}" of these events in the mailbox "whole@ours.example": *`);
  expect(
    await told('PATCH', '/v1/account', {
      name: 'Ours',
      oversight_email: 'else@remote.example',
      physical_address: '1 Street\nTown',
    }),
  ).toBe(
    'call the account "Ours" and send codes and notices to "else@remote.example" from now on and set the postal address of the account to "1 Street Town"',
  );
});

test('a code is for what its mail said, also where the same request means more by now', async () => {
  const key = await admin();
  const { id } = await api.mailbox('more@ours.example', 'gated_send');
  const change = (approval_code?: string) =>
    api.call('PATCH', `/v1/mailboxes/${id}`, {
      key,
      body: { auto_cc: 'copy@remote.example', auto_bcc: null, ...(approval_code && { approval_code }) },
    });
  expect((await change()).status).toBe(202);
  await db().query("update mailboxes set auto_bcc = 'watcher@remote.example' where id = $1", [id]);
  expect(await change(await api.code())).toMatchObject({ status: 403, json: { code: 'invalid_code' } });
  expect((await change()).status).toBe(202);
  expect((await mailedNotices(db()))[0]!.text).toContain('remove auto_bcc');
  expect((await change(await api.code())).status).toBe(200);
});

test('what is kept of a request with a password in it is of no use for guessing the password', async () => {
  const key = await admin();
  await api.mailbox('guessed@ours.example', 'gated_send');
  const kept = async () => {
    const body = { mailbox: 'guessed@ours.example', password: 'correct horse battery' };
    expect((await api.call('POST', '/v1/logins', { key, body })).status).toBe(202);
    const { rows } = await db().query<{ bound: string }>(
      "select encode(bound_to, 'hex') as bound from operator_codes order by id desc limit 1",
    );
    return rows[0]!.bound;
  };
  const { secret } = await readAccount(db());
  const first = await kept();
  expect(await kept()).toBe(first);
  try {
    await db().query('update account set secret = $1', [Buffer.alloc(32, 7)]);
    expect(await kept()).not.toBe(first);
  } finally {
    await db().query('update account set secret = $1', [secret]);
  }
});

test('nor is what is kept of a request that names itself', async () => {
  const { id, apiKey: key } = await api.key({
    scopes: ['admin'],
    principal: { kind: 'user', name: 'admin' },
  });
  await api.mailbox('named@ours.example', 'gated_send');
  const body = { mailbox: 'named@ours.example', password: 'correct horse battery' };
  const headers = { 'idempotency-key': 'a password' };
  expect((await api.confirm('POST', '/v1/logins', { key, body, headers })).status).toBe(201);
  const { rows } = await db().query<{ kept: Buffer }>(
    "select request_sha256 as kept from idempotent_requests where key = 'a password'",
  );
  const guess = fingerprintOf({ ...body, principal_kind: 'agent' });
  expect(rows[0]!.kept.equals(createHash('sha256').update(id).update(guess).digest())).toBe(false);
  const again = await api.call('POST', '/v1/logins', { key, body, headers });
  expect(again).toMatchObject({ status: 201, json: { username: 'named@ours.example' } });
  const other = await api.call('POST', '/v1/logins', {
    key,
    headers,
    body: { ...body, password: 'battery horse c' },
  });
  expect(other).toMatchObject({ status: 409, json: { code: 'idempotency_mismatch' } });
});

test('a code dies after ten wrong tries at the same moment too, with every other open code of the same principal', async () => {
  const key = await admin();
  const create = (body: object) => api.call('POST', '/v1/api-keys', { key, body });
  const codes: string[] = [];
  for (const name of ['burst one', 'burst two']) {
    await create({ name, scopes: ['read'] });
    codes.push(await api.code());
  }
  const tries = await Promise.all(
    Array.from({ length: 12 }, () => create({ name: 'burst one', approval_code: '222-222' })),
  );
  for (const { status } of tries) expect(status).toBe(403);
  for (const [i, name] of ['burst one', 'burst two'].entries())
    expect(await create({ name, scopes: ['read'], approval_code: codes[i] })).toMatchObject({
      status: 403,
      json: { code: 'invalid_code' },
    });
});
