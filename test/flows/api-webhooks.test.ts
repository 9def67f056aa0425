import { afterAll, beforeAll, expect, test } from 'vitest';
import { setMailboxWebhook } from '../../core/store/webhooks.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi({ webhooks: { allow_hosts: ['hooks.internal', '10.1.2.3'] } });
});
afterAll(() => api?.close());

const admin = () => ({ key: api.keys.admin });
const URL_ = 'https://hooks.internal/in';
/** By a key of its own, for a key gets few codes an hour. */
const create = async (body: object) => {
  const { apiKey } = await api.key({ scopes: ['admin'], principal: { kind: 'user', name: 'admin' } });
  return api.confirm('POST', '/v1/webhooks', { key: apiKey, body });
};
const made = async (body: object = {}) => (await create({ url: URL_, events: ['*'], ...body })).json;
const list = async () => (await api.call('GET', '/v1/webhooks', admin())).json;

test('a subscription is made with a code, and its secret is told there', async () => {
  const asked = await api.call('POST', '/v1/webhooks', {
    ...admin(),
    body: { url: URL_, events: ['inbound'] },
  });
  expect([asked.status, asked.json.status]).toEqual([202, 'pending_approval']);
  expect((await list()).webhooks).toEqual([]);
  const body = { url: URL_, events: ['inbound'], approval_code: await api.code() };
  const done = await api.call('POST', '/v1/webhooks', { ...admin(), body });
  expect(done.status).toBe(201);
  expect(done.json).toEqual({
    id: expect.stringMatching(/^[0-9A-Z]{26}$/),
    url: URL_,
    events: ['inbound'],
    mailbox_id: null,
    signing_secret: expect.stringMatching(/^whsec_[A-Za-z0-9+/]{43}=$/),
    created_at: expect.stringMatching(/Z$/),
    disabled_at: null,
  });
});

test('subscriptions are listed under both names, without secrets', async () => {
  const { id, signing_secret } = await made();
  const listed = await api.call('GET', '/v1/webhooks', admin());
  expect(listed.json.subscriptions).toEqual(listed.json.webhooks);
  expect(listed.json.webhooks[0]).toMatchObject({ id, events: ['*'], disabled_at: null });
  expect(listed.text).not.toContain(signing_secret.slice(0, 12));
});

test('reading a secret is audited, and the log does not hold it', async () => {
  const { id, signing_secret } = await made();
  const read = await api.call('GET', `/v1/webhooks/${id}`, admin());
  expect(read.json.signing_secret).toBe(signing_secret);
  const log = await api.call('GET', '/v1/audit-log?action=webhook.*', admin());
  const actions = log.json.entries.filter((one: { resource_id: string }) => one.resource_id === id);
  expect(actions.map(({ action }: { action: string }) => action)).toEqual([
    'webhook.secret_read',
    'webhook.created',
  ]);
  expect(log.text).not.toContain(signing_secret);
});

test('a secret is rotated, a subscription switched off and on, and ended', async () => {
  const { id, signing_secret } = await made({ secret: 'my-own-secret-of-24-chars' });
  expect(signing_secret).toBe('my-own-secret-of-24-chars');
  const change = async (body: object) =>
    (await api.call('PATCH', `/v1/webhooks/${id}`, { ...admin(), body })).json;
  expect((await change({ rotate_secret: true })).signing_secret).toMatch(/^whsec_/);
  const { rows } = await api.runtime.database.pool.query(
    `select previous_secret, previous_secret_until > now() + interval '23 hours' as lasts from webhooks where id = $1`,
    [id],
  );
  expect(rows[0]).toEqual({ previous_secret: 'my-own-secret-of-24-chars', lasts: true });
  expect((await change({ enabled: false })).disabled_at).toMatch(/Z$/);
  expect((await change({ enabled: true })).disabled_at).toBeNull();
  expect((await api.call('DELETE', `/v1/webhooks/${id}`, admin())).json).toEqual({ status: 'deleted' });
  for (const method of ['GET', 'PATCH', 'DELETE'])
    expect((await api.call(method, `/v1/webhooks/${id}`, admin())).status).toBe(404);
});

test('an event that is never emitted is taken and named; only such events, or unknown ones, are not', async () => {
  expect(await made({ events: ['open', 'email.sent', 'bounce'] })).toMatchObject({
    events: ['open', 'email.sent', 'bounce'],
    ignored_events: ['open'],
  });
  for (const events of [['open'], [], ['email.opened'], ['message.sent', 'mesage.received'], 'inbound']) {
    const refused = await create({ url: URL_, events });
    expect([refused.status, refused.json.code]).toEqual([400, 'invalid_field']);
    expect(refused.json.field).toMatch(/^events/);
  }
});

test.each([
  'http://hooks.internal/',
  'ftp://hooks.internal/',
  'hooks.internal',
  'https://u:p@hooks.internal/',
  7,
])('W-06: %s is no address for a webhook', async (url) => {
  const refused = await create({ url, events: ['*'] });
  expect([refused.status, refused.json.code, refused.json.field]).toEqual([400, 'invalid_field', 'url']);
});

test.each([
  'https://127.0.0.1/',
  'https://2130706433/',
  'https://0x7f.1/',
  'https://localhost/',
  'https://localhost./',
  'https://a.localhost/',
  'https://0.0.0.0/',
  'https://[::1]/',
  'https://[::ffff:169.254.169.254]/',
  'https://[64:ff9b::a9fe:a9fe]/',
  'https://169.254.169.254/latest/meta-data',
  'https://metadata.google.internal/',
  'https://10.0.0.1/',
  'https://192.168.1.1:8443/',
  'https://100.64.0.1/',
  'https://[fd00::1]/',
  'https://[fe80::1]/',
  'https://printer/',
  'https://gateway.example/v1/webhooks',
])('W-01, W-09: %s is not on the internet, or is Postern itself', async (url) => {
  const refused = await create({ url, events: ['*'] });
  expect([refused.status, refused.json.code, refused.json.field]).toEqual([422, 'unsafe_url', 'url']);
});

test('hosts that the operator lists are let through, and no code is mailed for one that is refused', async () => {
  expect((await create({ url: 'https://10.1.2.3/', events: ['*'] })).status).toBe(201);
  const { rows } = await api.runtime.database.pool.query('select count(*)::int as n from operator_codes');
  await create({ url: 'https://10.1.2.4/', events: ['*'] });
  const after = await api.runtime.database.pool.query('select count(*)::int as n from operator_codes');
  expect(after.rows).toEqual(rows);
});

test('W-11: a key without admin neither makes nor sees subscriptions', async () => {
  const { id } = await made();
  for (const [method, path] of [
    ['POST', '/v1/webhooks'],
    ['GET', '/v1/webhooks'],
    ['GET', `/v1/webhooks/${id}`],
    ['PATCH', `/v1/webhooks/${id}`],
    ['DELETE', `/v1/webhooks/${id}`],
    ['GET', '/v1/webhook-deliveries'],
  ] as const)
    expect((await api.call(method, path, { key: api.keys.agent })).json.code, `${method} ${path}`).toBe(
      'scope_missing',
    );
});

test('a subscription may be narrowed to one mailbox, named by id or address', async () => {
  const mailbox = await api.mailbox('narrow@ours.example', 'gated_send');
  expect((await made({ mailbox_id: 'narrow@ours.example' })).mailbox_id).toBe(mailbox.id);
  expect((await create({ url: URL_, events: ['*'], mailbox_id: 'nobody@ours.example' })).status).toBe(404);
});

test('an address of a mailbox is a subscription of its own, which ends with the field and ends it', async () => {
  const { pool } = api.runtime.database;
  const mailbox = await api.mailbox('field@ours.example', 'gated_send');
  const actor = { type: 'system', id: null, name: 'test' } as const;
  const set = (url: string | null) =>
    api.runtime.database.transaction((db) => setMailboxWebhook(db, mailbox.id, 'webhook_url', url, actor));
  const mine = async () =>
    (await list()).webhooks.filter((one: { mailbox_id: string }) => one.mailbox_id === mailbox.id);
  const field = async () =>
    (await pool.query('select webhook_url from mailboxes where id = $1', [mailbox.id])).rows[0].webhook_url;

  await set('https://hooks.internal/a');
  const [first] = await mine();
  expect(first.events).toContain('email.received');
  await set('https://hooks.internal/a');
  expect(await mine()).toEqual([first]);
  await set('https://hooks.internal/b');
  const [second, ...more] = await mine();
  expect(more).toEqual([]);
  expect([second.url, second.id === first.id]).toEqual(['https://hooks.internal/b', false]);
  await api.call('DELETE', `/v1/webhooks/${second.id}`, admin());
  expect(await field()).toBeNull();
  await set('https://hooks.internal/c');
  await set(null);
  expect([await mine(), await field()]).toEqual([[], null]);
});

test('there are no deliveries yet, and none to replay', async () => {
  const log = await api.call('GET', '/v1/webhook-deliveries?status=failed', admin());
  expect(log.json).toEqual({ deliveries: [], cursor: null });
  expect((await api.call('GET', '/v1/webhook-deliveries?status=lost', admin())).status).toBe(400);
  const replay = '/v1/webhook-deliveries/01M7YW0W62DA4TJX2M08BCPJ53/replay';
  expect((await api.call('POST', replay, admin())).status).toBe(404);
});
