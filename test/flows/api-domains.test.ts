import { createPrivateKey, createPublicKey } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api?.close());

const call = (method: string, path: string, body?: object) =>
  api.call(method, path, { key: api.keys.admin, ...(body && { body }) });
const add = (domain: unknown) => call('POST', '/v1/domains', { domain });

test('a domain is made with the records its owner has to publish', async () => {
  const made = await add('Bücher.example');
  expect(made.status).toBe(201);
  const name = 'xn--bcher-kva.example';
  expect(made.json).toEqual({
    id: expect.stringMatching(/^[0-9A-Z]{26}$/),
    domain: name,
    status: 'pending',
    dkim_verified: false,
    spf_verified: false,
    mx_verified: false,
    return_path_verified: false,
    verified_at: null,
    created_at: expect.stringMatching(/Z$/),
    dns_records: {
      ownership: {
        type: 'TXT',
        name: `_postern.${name}`,
        value: expect.stringMatching(/^postern-verify=[0-9a-f]{40}$/),
      },
      dkim: {
        type: 'TXT',
        name: expect.stringMatching(/^postern-[0-9a-f]{8}\._domainkey\.xn--bcher-kva\.example$/),
        value: expect.stringMatching(/^v=DKIM1; k=rsa; p=[A-Za-z0-9+/]{360,}={0,2}$/),
      },
      spf: { type: 'TXT', name, value: 'v=spf1 a:gateway.example ~all' },
      mx: { type: 'MX', name, value: 'gateway.example', priority: 10 },
      return_path: { type: 'CNAME', name: `bounces.${name}`, value: 'gateway.example' },
    },
  });
});

test('the record holds the public half of a key of 2048 bits, and the private half is told nowhere', async () => {
  const { json } = await add('keys.example');
  const { rows } = await api.runtime.database.pool.query<{ pem: string }>(
    'select dkim_private_key as pem from domains where id = $1',
    [json.id],
  );
  const key = createPrivateKey(rows[0]!.pem);
  expect(key.asymmetricKeyDetails?.modulusLength).toBe(2048);
  const published = createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64');
  expect(json.dns_records.dkim.value).toBe(`v=DKIM1; k=rsa; p=${published}`);
  const secret = rows[0]!.pem.split('\n')[5]!;
  for (const path of ['/v1/domains', `/v1/domains/${json.id}`, '/v1/audit-log'])
    expect((await call('GET', path)).text).not.toContain(secret);
});

test('the same domain is there once, however it is written', async () => {
  await add('twice.example');
  const again = await add('TWICE.example.');
  expect([again.status, again.json.code, again.json.field]).toEqual([409, 'already_exists', 'domain']);
});

test.each([
  '',
  'example',
  'a b.example',
  'a..example',
  '127.0.0.1',
  'x@y.example',
  `${'a'.repeat(64)}.example`,
  5,
])('%j is no domain: 400', async (domain) => {
  const refused = await add(domain);
  expect([refused.status, refused.json.code, refused.json.field]).toEqual([400, 'invalid_field', 'domain']);
});

test('verifying answers what is known, and changes nothing', async () => {
  const { id } = (await add('verified.example')).json;
  const checked = await call('POST', `/v1/domains/${id}/verify`);
  expect(checked.status).toBe(200);
  expect(Object.keys(checked.json).sort()).toEqual(
    [
      'dkim_verified',
      'domain',
      'id',
      'mx_verified',
      'return_path_verified',
      'spf_verified',
      'status',
      'verified_at',
    ].sort(),
  );
  expect((await call('GET', `/v1/domains/${id}`)).json).toMatchObject({
    status: 'pending',
    verified_at: null,
  });
});

test('a domain is listed, shown, and removed once; both ends are audited', async () => {
  const { id } = (await add('removed.example')).json;
  const ids = async () =>
    (await call('GET', '/v1/domains')).json.domains.map((one: { id: string }) => one.id);
  expect(await ids()).toContain(id);
  expect((await call('DELETE', `/v1/domains/${id}`)).json).toEqual({ status: 'deleted' });
  expect(await ids()).not.toContain(id);
  for (const [method, path] of [
    ['GET', `/v1/domains/${id}`],
    ['DELETE', `/v1/domains/${id}`],
    ['POST', `/v1/domains/${id}/verify`],
    ['GET', '/v1/domains/removed.example'],
  ] as const)
    expect((await call(method, path)).json.code).toBe('not_found');
  const { entries } = (await call('GET', '/v1/audit-log?action=domain.*')).json;
  const mine = entries.filter((one: { resource_id: string }) => one.resource_id === id);
  expect(mine.map(({ action }: { action: string }) => action)).toEqual(['domain.deleted', 'domain.added']);
});

test('domains are for admins', async () => {
  const refused = await api.call('POST', '/v1/domains', {
    key: api.keys.agent,
    body: { domain: 'a.example' },
  });
  expect([refused.status, refused.json.code]).toEqual([403, 'scope_missing']);
});
