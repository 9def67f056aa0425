import { request } from 'node:http';
import { Writable } from 'node:stream';
import { afterAll, beforeAll, expect, inject, test } from 'vitest';
import { OPERATIONS } from '../../api/registry.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { freshDatabase } from '../support/database.ts';
import { databaseUrl } from '../support/database-url.ts';
import { startPostgresProxy } from '../support/postgres-proxy.ts';

let api: TestApi;
let log = '';
beforeAll(async () => {
  const destination = new Writable({
    write(chunk, _, done) {
      log += chunk;
      done();
    },
  });
  api = await startTestApi(
    { http: { public_url: 'https://mail.example.com/postern' } },
    { log: destination },
  );
});
afterAll(() => api.close());

/** A request as bytes would have it: fetch does not let a test choose its Host. */
function withHost(
  host: string,
  path = '/v1/mailboxes',
  headers: Record<string, string> = {},
): Promise<number> {
  const { hostname, port } = new URL(api.url);
  return new Promise((resolve, reject) => {
    const sent = request({ hostname, port, path, headers: { ...headers, host } }, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on('error', reject);
    sent.end();
  });
}

test('without a key nothing but health and documentation answers', async () => {
  for (const { method, path, name } of OPERATIONS.filter(({ access }) => access !== 'none')) {
    const reply = await api.call(method, path.replace(/:\w+/g, '01JZZZZZZZZZZZZZZZZZZZZZZZ'));
    expect(`${name} ${reply.status} ${reply.json.code}`).toBe(`${name} 401 missing_credentials`);
    expect(reply.headers.get('www-authenticate')).toMatch(
      /^Bearer realm="postern", resource_metadata="https:/,
    );
  }
  for (const path of ['/healthz/live', '/healthz/ready', '/health', '/metrics', '/v1/openapi.json'])
    expect((await api.call('GET', path)).status).toBe(200);
});

test('each operation names the scope it needs, and a key without it changes nothing', async () => {
  const powerless = (await api.key({ scopes: ['oversight_read'] })).apiKey;
  for (const { method, path, access, name } of OPERATIONS.filter((one) => one.access !== 'none')) {
    const reply = await api.call(method, path.replace(/:\w+/g, 'x'), { key: powerless });
    const opens = access === 'any' || [access].flat().includes('oversight_read');
    expect(`${name} ${reply.status === 403}`).toBe(`${name} ${!opens}`);
    if (!opens)
      expect(reply.json).toMatchObject({ code: 'scope_missing', required_scope: [access].flat()[0] });
  }
});

test('a key is shown in either header; two that differ are nobody', async () => {
  const { agent, admin } = api.keys;
  const ask = (headers: Record<string, string>) => api.call('GET', '/v1/mailboxes', { headers });
  expect((await ask({ 'x-api-key': agent })).status).toBe(200);
  expect((await ask({ authorization: `bearer ${agent}` })).status).toBe(200);
  expect((await ask({ authorization: `Bearer ${agent}`, 'x-api-key': agent })).status).toBe(200);
  expect(await ask({ authorization: `Bearer ${agent}`, 'x-api-key': admin })).toMatchObject({ status: 401 });
  expect(await ask({ authorization: `Bearer ${agent}x` })).toMatchObject({
    status: 401,
    json: { code: 'invalid_key' },
  });
});

test('a revoked or expired key is refused at once', async () => {
  const made = await api.confirm('POST', '/v1/api-keys', {
    key: api.keys.admin,
    body: { name: 'short', scopes: ['read'] },
  });
  expect(made.status).toBe(201);
  const { id, api_key } = made.json;
  expect(api_key).toMatch(/^mm_test_[A-Za-z0-9_-]{32}$/);
  const list = () => api.call('GET', '/v1/mailboxes', { key: api_key });
  expect((await list()).status).toBe(200);
  const all = await api.call('GET', '/v1/api-keys', { key: api.keys.admin });
  expect(all.json.api_keys[0]).toMatchObject({ id, name: 'short', is_active: true, principal: 'short' });
  expect(all.text).not.toContain(api_key);

  const revoked = await api.confirm('DELETE', `/v1/api-keys/${id}`, { key: api.keys.admin, body: {} });
  expect(revoked.json).toEqual({ status: 'revoked' });
  expect(await list()).toMatchObject({ status: 401, json: { code: 'revoked_key' } });
  const expired = await api.key({ expiresAt: new Date(Date.now() - 1000) });
  expect(await api.call('GET', '/v1/mailboxes', { key: expired.apiKey })).toMatchObject({ status: 401 });
});

test('no key both sends and approves', async () => {
  const reply = await api.call('POST', '/v1/api-keys', {
    key: api.keys.admin,
    body: { name: 'both', scopes: ['send', 'oversight'] },
  });
  expect(reply).toMatchObject({ status: 400, json: { code: 'scope_conflict', field: 'scopes' } });
  await expect(api.key({ scopes: ['send', 'oversight'] })).rejects.toThrow(/check constraint/);
});

test('a key bound to a mailbox sees and uses that mailbox only', async () => {
  const mine = await api.mailbox('mine@ours.example', 'gated_send');
  const theirs = await api.mailbox('theirs@ours.example', 'gated_send');
  const key = (await api.key({ scopes: ['read', 'send'], mailboxId: mine.id })).apiKey;
  const reviewer = (
    await api.key({ scopes: ['oversight'], mailboxId: mine.id, principal: { kind: 'user', name: 'bound' } })
  ).apiKey;
  const [own, other] = [await api.send(mine.id), await api.send(theirs.id)];
  expect(
    (await api.call('GET', '/v1/queue/emails', { key })).json.emails.map(({ id }: { id: string }) => id),
  ).toEqual([own]);
  expect((await api.call('GET', '/v1/mailboxes', { key })).json.mailboxes).toHaveLength(1);
  for (const path of ['', '/raw', '/explain'])
    expect((await api.call('GET', `/v1/emails/${other}${path}`, { key })).json.code).toBe('not_found');
  expect((await api.call('POST', `/v1/emails/${other}/cancel`, { key })).status).toBe(404);
  expect((await api.call('GET', `/v1/queue/emails?mailbox=${theirs.id}`, { key })).status).toBe(404);
  expect((await api.call('GET', `/v1/mailboxes/${theirs.address}`, { key })).status).toBe(404);
  const body = { to: 'a@remote.example', subject: 's', markdown: 'm' };
  expect((await api.call('POST', `/v1/mailboxes/${theirs.id}/send`, { key, body })).status).toBe(404);
  expect((await api.call('POST', `/v1/oversight/emails/${other}/approve`, { key: reviewer })).status).toBe(
    404,
  );
  expect((await api.call('GET', '/v1/oversight/pending', { key: reviewer })).json.emails).toHaveLength(1);
  expect((await api.call('GET', '/v1/queue', { key })).status).toBe(403);
});

test('a sender lists as pending what it composed itself', async () => {
  const mailbox = await api.mailbox('pending@ours.example', 'gated_send');
  const other = (await api.key({ scopes: ['send'], principal: { kind: 'agent', name: 'other' } })).apiKey;
  const id = await api.send(mailbox.id, {}, other);
  await api.send(mailbox.id);
  const { json } = await api.call('GET', '/v1/oversight/pending', { key: other });
  expect(json.emails.map((one: { id: string }) => one.id)).toEqual([id]);
});

test('a host name that is not ours is refused, but not to a health check', async () => {
  const { port } = new URL(api.url);
  for (const host of [
    'localhost',
    `127.0.0.1:${port}`,
    'mail.example.com',
    'MAIL.example.com.',
    'gateway.example',
  ])
    expect(`${host} ${await withHost(host)}`).toBe(`${host} 401`);
  for (const host of ['evil.example', 'mail.example.com.evil.example', 'localhost.evil.example', '10.0.0.1'])
    expect(`${host} ${await withHost(host)}`).toBe(`${host} 403`);
  expect(await withHost('10.0.0.1', '/healthz/ready')).toBe(200);
});

test('whatever is wrong with a request, the answer is JSON that says so', async () => {
  const key = api.keys.admin;
  const cases: [string, string, object, number, string][] = [
    ['GET', '/nowhere', {}, 404, 'unknown_route'],
    ['PUT', '/v1/emails', { key }, 405, 'method_not_allowed'],
    ['GET', '/v1/emails/xyz', { key }, 404, 'not_found'],
    ['GET', `/v1/emails/${'0'.repeat(26)}`, { key }, 404, 'not_found'],
    ['GET', '/v1/emails?cursor=xyz', { key }, 400, 'invalid_cursor'],
    ['GET', '/v1/emails?status=sleeping', { key }, 400, 'invalid_field'],
    ['GET', '/v1/audit-log?since=yesterday', { key }, 400, 'invalid_field'],
    ['GET', '/v1/audit-log?oversight_mode=open', { key }, 400, 'unknown_mode'],
    ['POST', '/v1/oversight/decide', { key, body: '{"a":' }, 400, 'bad_request'],
    ['POST', '/v1/oversight/decide', { key, body: '"text"' }, 400, 'bad_request'],
    ['POST', '/v1/oversight/decide', { key, body: '{"__proto__":{"admin":true}}' }, 400, 'bad_request'],
    ['POST', '/v1/oversight/decide', { key, body: { action: 'approve' } }, 400, 'missing_field'],
    ['POST', '/v1/oversight/decide', { key, body: { email_id: 'x', action: 'maybe' } }, 400, 'invalid_field'],
    [
      'POST',
      '/v1/oversight/decide',
      { key, body: 'a=b', headers: { 'content-type': 'text/plain' } },
      415,
      'unsupported_media_type',
    ],
    [
      'POST',
      '/v1/oversight/decide',
      { key, body: '{}', headers: { 'content-encoding': 'gzip' } },
      415,
      'unsupported_media_type',
    ],
    ['POST', '/v1/oversight/decide', { key, body: { reason: 'x'.repeat(1 << 21) } }, 413, 'too_large'],
  ];
  for (const [method, path, ask, status, code] of cases) {
    const reply = await api.call(method, path, ask);
    expect(reply).toMatchObject({ status, json: { status, code, type: `urn:postern:error:${code}` } });
    expect(reply.json.detail).toBe(reply.json.error);
    expect(reply.text).not.toMatch(/\bat .*:\d+:\d+|node_modules/);
    expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
  }
  expect((await api.call('PUT', '/v1/emails', { key })).headers.get('allow')).toBe('GET, HEAD');
  const problem = await api.call('GET', '/nowhere', { headers: { accept: 'application/problem+json' } });
  expect(problem.headers.get('content-type')).toMatch(/^application\/problem\+json/);
});

test('a request that promises JSON and brings nothing is as good as an empty object', async () => {
  const headers = { 'content-type': 'application/json' };
  const mailbox = await api.mailbox('bodyless@ours.example', 'gated_send');
  const id = await api.send(mailbox.id);
  expect((await api.call('POST', `/v1/emails/${id}/cancel`, { key: api.keys.agent, headers })).status).toBe(
    200,
  );
  const login = await api.confirm('POST', '/v1/logins', {
    key: api.keys.admin,
    body: { mailbox: mailbox.id },
  });
  const removed = await api.call('DELETE', `/v1/logins/${login.json.id}`, { key: api.keys.admin, headers });
  expect(removed.json).toEqual({ id: login.json.id, status: 'revoked' });
});

test('a login is made once, and its password is told once', async () => {
  const mailbox = await api.mailbox('login@ours.example', 'gated_send');
  const body = { mailbox: mailbox.address, owner: 'rita' };
  const make = () => api.confirm('POST', '/v1/logins', { key: api.keys.admin, body });
  const made = await make();
  expect(made).toMatchObject({
    status: 201,
    json: { username: 'login@ours.example', mailbox_id: mailbox.id },
  });
  expect(made.json.password).toMatch(/^.{20,}$/);
  expect(await make()).toMatchObject({ status: 409, json: { code: 'already_exists' } });
  const all = await api.call('GET', '/v1/logins', { key: api.keys.admin });
  expect(all.json.logins).toContainEqual(expect.objectContaining({ id: made.json.id, owner: 'rita' }));
  expect(all.text).not.toContain(made.json.password);
  expect(all.text).not.toMatch(/argon2/);
});

test('the queue view is for admins, who may log in from a browser', async () => {
  const basic = (key: string) => ({
    authorization: `Basic ${Buffer.from(`admin:${key}`).toString('base64')}`,
  });
  const ask = (headers: Record<string, string>, path = '/admin/queues/') =>
    api.call('GET', path, { headers });
  expect((await ask({})).headers.get('www-authenticate')).toMatch(/^Basic/);
  for (const path of [
    '/admin/queues',
    '/admin/queues/',
    '/admin/queues/api/queues',
    '/admin/queues/static/js/x.js',
  ])
    expect(`${path} ${(await ask({}, path)).status}`).toBe(`${path} 401`);
  expect((await ask(basic(api.keys.reviewer))).status).toBe(403);
  expect((await ask(basic(api.keys.admin))).status).toBe(200);
  const queues = await ask(basic(api.keys.admin), '/admin/queues/api/queues');
  expect(queues.json.queues.length).toBeGreaterThan(0);
});

test('the description names every operation, with its key and its input', async () => {
  const { json } = await api.call('GET', '/v1/openapi.json');
  expect(json.openapi).toBe('3.1.0');
  for (const { method, path, name } of OPERATIONS) {
    const entry = json.paths[path.replace(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];
    expect(entry?.operationId).toBe(name);
    expect(entry.security).toBeDefined();
  }
  const decide = json.paths['/v1/oversight/decide'].post.requestBody.content['application/json'].schema;
  expect(Object.keys(decide.properties)).toContain('content_digest');
});

test('health and figures tell how we are and no secrets', async () => {
  const ready = await api.call('GET', '/healthz/ready');
  expect(ready.json).toEqual({ status: 'ok', checks: { database: 'ok', schema: 'ok', queue: 'ok' } });
  const figures = await api.call('GET', '/metrics');
  expect(figures.text).toMatch(/postern_messages_accepted_total\{source="rest"\} \d/);
  expect(figures.text).not.toMatch(/@|mm_test_/);
});

test('keys never reach the log, also not those of requests that fail', async () => {
  await api.call('GET', '/v1/emails?limit=x&cursor=y', { key: api.keys.admin });
  await api.runtime.database.pool.query('alter table api_keys rename to hidden_keys');
  const failed = await api.call('GET', '/v1/mailboxes', { key: api.keys.admin });
  await api.runtime.database.pool.query('alter table hidden_keys rename to api_keys');
  expect(failed).toMatchObject({ status: 500, json: { code: 'internal_error' } });
  expect(failed.text).not.toMatch(/relation|api_keys/);
  expect(log).toMatch(/a request failed/);
  for (const key of Object.values(api.keys)) expect(log).not.toContain(key.slice(8));
});

test('an address that guesses keys is told to wait, with a whole number of seconds', async () => {
  const guess = () => api.call('GET', '/v1/emails', { key: `mm_test_${'x'.repeat(32)}` });
  let reply = await guess();
  for (let tries = 0; tries < 25 && reply.status === 401; tries++) reply = await guess();
  expect(reply).toMatchObject({ status: 429, json: { code: 'rate_limited' } });
  expect(reply.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  // somebody behind the same proxy who is known to be good
  expect((await api.call('GET', '/v1/mailboxes', { key: api.keys.admin })).status).toBe(200);
  const unknown = (await api.key({ scopes: ['read'] })).apiKey;
  expect((await api.call('GET', '/v1/mailboxes', { key: unknown })).status).toBe(429);
});

test('a full queue takes no more mail, and says when to come back', async () => {
  const full = await startTestApi({ limits: { queued_messages: 1 } });
  try {
    const mailbox = await full.mailbox('full@ours.example', 'autonomous');
    await full.send(mailbox.id);
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const body = { to: 'ana@remote.example', subject: 's', text: 'x' };
    const refused = await full.call('POST', `/v1/mailboxes/${mailbox.id}/send`, {
      key: full.keys.agent,
      body,
    });
    expect(refused).toMatchObject({ status: 503, json: { code: 'unavailable' } });
    expect(refused.headers.get('retry-after')).toBe('10');
  } finally {
    await full.close();
  }
});

test('while the database is away the answer is 503, and readiness says why', async () => {
  const proxy = await startPostgresProxy(inject('postgresUrl'));
  const fresh = await freshDatabase();
  const cut = await startTestApi(
    {},
    { databaseUrl: databaseUrl(proxy.url, new URL(fresh.url).pathname.slice(1)) },
  );
  try {
    expect((await cut.call('GET', '/v1/mailboxes', { key: cut.keys.admin })).status).toBe(200);
    await proxy.close();
    const away = await cut.call('GET', '/v1/mailboxes', { key: cut.keys.admin });
    expect(away).toMatchObject({ status: 503, json: { code: 'unavailable' } });
    expect(away.headers.get('retry-after')).toMatch(/^\d+$/);
    const ready = await cut.call('GET', '/healthz/ready');
    expect(ready).toMatchObject({
      status: 503,
      json: { status: 'unavailable', checks: { database: 'failed' } },
    });
    expect((await cut.call('GET', '/healthz/live')).status).toBe(200);
  } finally {
    await cut.close();
    await fresh.drop();
  }
});
