import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const admin = async (name = 'admin') =>
  (await api.key({ scopes: ['admin'], principal: { kind: 'user', name } })).apiKey;
const make = async (body: object, key?: string) =>
  api.confirm('POST', '/v1/api-keys', { key: key ?? (await admin()), body });
const listed = async (id: string) => {
  const { json } = await api.call('GET', '/v1/api-keys', { key: api.keys.admin });
  return json.api_keys.find((one: { id: string }) => one.id === id);
};
const works = async (key: string) => (await api.call('GET', '/v1/mailboxes', { key })).status;

test('a key is made with a code, shown once, and listed by name and prefix', async () => {
  const made = await make({ name: 'reporter' });
  expect(made).toMatchObject({ status: 201, json: { name: 'reporter', scopes: ['read'] } });
  const { id, api_key, prefix } = made.json;
  expect(api_key).toMatch(/^mm_test_[A-Za-z0-9_-]{32}$/);
  expect(api_key.startsWith(prefix)).toBe(true);
  expect(await listed(id)).toMatchObject({
    id,
    name: 'reporter',
    prefix,
    scopes: ['read'],
    principal: 'reporter',
    owner: null,
    last_used_at: null,
    is_active: true,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
  });
  expect((await api.call('GET', '/v1/api-keys', { key: api.keys.admin })).text).not.toContain(api_key);
  expect(await works(api_key)).toBe(200);
});

test('send and oversight never meet on one key, neither when it is made nor when it is changed', async () => {
  const key = await admin();
  const conflict = { status: 400, json: { code: 'scope_conflict', field: 'scopes' } };
  const both = { name: 'both', scopes: ['send', 'oversight'] };
  expect(await api.call('POST', '/v1/api-keys', { key, body: both })).toMatchObject(conflict);
  const { json } = await make({ name: 'half', scopes: ['send', 'oversight_read'] });
  expect(
    await api.call('PATCH', `/v1/api-keys/${json.id}`, { key, body: { scopes: ['send', 'oversight'] } }),
  ).toMatchObject(conflict);
  expect(
    await api.call('POST', '/v1/api-keys', { key, body: { name: 'x', scopes: ['root'] } }),
  ).toMatchObject({
    status: 400,
    json: { code: 'invalid_field' },
  });
});

test('an owner who is named is on record, also for a key that decides, and is refused for a person', async () => {
  const made = await make({ name: 'deputy', scopes: ['oversight'], owner: 'Ana' });
  expect(made.status).toBe(201);
  expect(await listed(made.json.id)).toMatchObject({ principal: 'deputy', owner: 'Ana' });
  const person = { principal_kind: 'user', owner: 'Ana' };
  const refused = { status: 400, json: { code: 'invalid_field', field: 'owner' } };
  const key = await admin();
  expect(
    await api.call('POST', '/v1/api-keys', { key, body: { name: 'p', scopes: ['admin'], ...person } }),
  ).toMatchObject(refused);
  await api.mailbox('owned@ours.example', 'gated_send');
  expect(
    await api.call('POST', '/v1/logins', { key, body: { mailbox: 'owned@ours.example', ...person } }),
  ).toMatchObject(refused);
});

test('U-07: no key makes itself or another wider without a person', async () => {
  const agent = (await api.key({ scopes: ['send'], principal: { kind: 'agent', name: 'climber' } })).apiKey;
  for (const [method, path, body] of [
    ['POST', '/v1/api-keys', { name: 'wider', scopes: ['admin'] }],
    ['GET', '/v1/api-keys', undefined],
    ['POST', '/v1/operator/start-session', {}],
  ] as const)
    expect(await api.call(method, path, { key: agent, body })).toMatchObject({
      status: 403,
      json: { code: 'scope_missing' },
    });
  const key = await admin();
  for (const scopes of [['read'], ['send'], ['oversight'], ['admin']])
    expect((await api.call('POST', '/v1/api-keys', { key, body: { name: 'w', scopes } })).status).toBe(202);
});

test('U-07: of two keys of one principal, the second cannot approve what the first composed', async () => {
  const mailbox = await api.mailbox('two-keys@ours.example', 'gated_send');
  const composer = await make({ name: 'writes', scopes: ['send'], principal: 'both hands' });
  const approver = await make({
    name: 'approves',
    scopes: ['oversight', 'read'],
    principal: 'both hands',
    principal_kind: 'agent',
  });
  const id = await api.send(mailbox.id, {}, composer.json.api_key);
  const decide = (key: string) =>
    api.call('POST', '/v1/oversight/decide', { key, body: { email_id: id, action: 'approve' } });
  expect(await decide(approver.json.api_key)).toMatchObject({ status: 403, json: { code: 'self_approval' } });
  const owner = await make({ name: 'owns', scopes: ['oversight'], principal: 'Ana' });
  const owned = await make({ name: 'owned', scopes: ['send'], principal: 'of Ana', owner: 'Ana' });
  const theirs = await api.send(mailbox.id, { subject: 'Other' }, owned.json.api_key);
  expect(
    await api.call('POST', '/v1/oversight/decide', {
      key: owner.json.api_key,
      body: { email_id: theirs, action: 'approve' },
    }),
  ).toMatchObject({ status: 403, json: { code: 'self_approval' } });
  expect((await listed(owned.json.id)).owner).toBe('Ana');
});

test('renaming needs nobody; oversight or admin need a code that no session spares', async () => {
  const { json } = await make({ name: 'old name', scopes: ['read', 'send'] });
  const key = await admin();
  await api.call('POST', '/v1/operator/start-session', { key });
  await api.call('POST', '/v1/operator/verify-session', { key, body: { code: await api.code() } });
  const patch = (body: object) => api.call('PATCH', `/v1/api-keys/${json.id}`, { key, body });
  expect(await patch({ name: 'new name' })).toMatchObject({ status: 200, json: { status: 'updated' } });
  expect((await patch({ scopes: ['read'] })).status).toBe(200);
  expect(await listed(json.id)).toMatchObject({ name: 'new name', scopes: ['read'] });
  for (const scopes of [['read', 'oversight'], ['admin']])
    expect(await patch({ scopes })).toMatchObject({ status: 202, json: { operation: 'update_api_key' } });
  expect((await listed(json.id)).scopes).toEqual(['read']);
  const widened = await api.confirm('PATCH', `/v1/api-keys/${json.id}`, {
    key: await admin(),
    body: { scopes: ['read', 'oversight'] },
  });
  expect(widened.json).toEqual({ status: 'updated' });
  // Without anything added nobody is asked.
  expect((await patch({ scopes: ['oversight'] })).status).toBe(200);
  expect(await api.call('PATCH', '/v1/api-keys/nothing', { key, body: { name: 'x' } })).toMatchObject({
    status: 404,
  });
  const log = await api.call('GET', '/v1/audit-log?action=key.updated', { key: api.keys.admin });
  expect(log.json.entries[0].metadata).toMatchObject({ to: { scopes: ['oversight'] } });
});

test('a revoked key is refused from the next request on, in every process, and its session ends', async () => {
  const other = await startTestApi({}, { databaseUrl: api.runtime.database.url });
  try {
    const { json } = await make({ name: 'doomed', scopes: ['admin'] });
    const key = json.api_key;
    expect(await works(key)).toBe(200);
    expect((await other.call('GET', '/v1/mailboxes', { key })).status).toBe(200);
    const revoke = await api.call('DELETE', `/v1/api-keys/${json.id}`, { key: api.keys.admin });
    expect(revoke).toMatchObject({ status: 202, json: { operation: 'revoke_api_key' } });
    expect(await works(key)).toBe(200);
    const done = await api.confirm('DELETE', `/v1/api-keys/${json.id}`, { key: await admin(), body: {} });
    expect(done).toMatchObject({ status: 200, json: { status: 'revoked' } });
    for (const at of [api, other])
      expect(await at.call('GET', '/v1/mailboxes', { key })).toMatchObject({
        status: 401,
        json: { code: 'revoked_key' },
      });
    expect((await listed(json.id)).is_active).toBe(false);
    expect(
      await api.call('PATCH', `/v1/api-keys/${json.id}`, { key: api.keys.admin, body: { name: 'back' } }),
    ).toMatchObject({ status: 404 });
  } finally {
    await other.close();
  }
});

test('a key that has expired is refused, and the list says so', async () => {
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  const { json } = await make({ name: 'brief', expires_at: soon });
  expect(await works(json.api_key)).toBe(200);
  await api.runtime.database.pool.query('update api_keys set expires_at = now() where id = $1', [json.id]);
  expect(await works(json.api_key)).toBe(401);
  expect(await listed(json.id)).toMatchObject({ is_active: false });
});

test('when a key was used last is noted', async () => {
  const { json } = await make({ name: 'used' });
  await works(json.api_key);
  for (let tries = 0; tries < 100 && (await listed(json.id)).last_used_at === null; tries++)
    await new Promise((go) => setTimeout(go, 20));
  expect((await listed(json.id)).last_used_at).toMatch(/Z$/);
});

test('a key for one mailbox is made for that mailbox', async () => {
  const mailbox = await api.mailbox('only@ours.example', 'gated_send');
  const { json } = await make({ name: 'bound', scopes: ['read'], mailbox: mailbox.address });
  expect(json.mailbox_id).toBe(mailbox.id);
  const seen = await api.call('GET', '/v1/mailboxes', { key: json.api_key });
  expect(seen.json.mailboxes.map(({ id }: { id: string }) => id)).toEqual([mailbox.id]);
  expect(
    await api.call('POST', '/v1/api-keys', {
      key: await admin(),
      body: { name: 'x', mailbox: 'nobody@ours.example' },
    }),
  ).toMatchObject({ status: 404 });
});
