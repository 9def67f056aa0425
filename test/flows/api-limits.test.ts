import { afterAll, beforeAll, expect, test } from 'vitest';
import { networkOf, requireRate } from '../../api/access/limiter.ts';
import { openDatabase } from '../../core/store/database.ts';
import { ratesOf } from '../../core/store/rates.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

test('what has been used up is refused with whole seconds to wait, for that key and that name alone', async () => {
  const ask = (name: string, key: string) => requireRate(api.runtime, name, key, 2, 60);
  await ask('one', 'a');
  await ask('one', 'a');
  const refused = await ask('one', 'a').catch((err: unknown) => err);
  expect(refused).toMatchObject({ status: 429, code: 'rate_limited' });
  expect(Number((refused as { headers: Record<string, string> }).headers['retry-after'])).toBeGreaterThan(0);
  await ask('one', 'b');
  await ask('two', 'a');
});

test('processes count together', async () => {
  const other = openDatabase({ url: api.runtime.database.url, poolSize: 1 });
  try {
    expect(await ratesOf(other.pool).take('shared', 'a', 1, 60)).toBeUndefined();
    expect(await ratesOf(api.runtime.database.pool).take('shared', 'a', 1, 60)).toBeGreaterThan(0);
  } finally {
    await other.close();
  }
});

test('an IPv6 address counts as its /64, however it is written', () => {
  expect(networkOf('2001:db8:1:2:3:4:5:6')).toBe(networkOf('2001:0db8:1:2::ffff'));
  expect(networkOf('2001:db8:1:2::1')).not.toBe(networkOf('2001:db8:1:3::1'));
  expect(networkOf('::ffff:192.0.2.1')).toBe(networkOf('192.0.2.1'));
  expect(networkOf('192.0.2.1')).not.toBe(networkOf('192.0.2.2'));
});

test('a key is limited where the configuration says so, in each process, and other keys are not', async () => {
  const limited = await startTestApi({ limits: { requests_per_key_minute: 3 } });
  const other = await startTestApi(
    { limits: { requests_per_key_minute: 3 } },
    { databaseUrl: limited.runtime.database.url },
  );
  try {
    const ask = (at: TestApi, key: string) => at.call('GET', '/v1/mailboxes', { key });
    for (const at of [limited, other, limited]) expect((await ask(at, limited.keys.agent)).status).toBe(200);
    for (const at of [limited, other]) {
      const refused = await ask(at, limited.keys.agent);
      expect(refused).toMatchObject({ status: 429, json: { code: 'rate_limited' } });
      expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
    }
    expect((await ask(limited, limited.keys.reviewer)).status).toBe(403);
    expect((await ask(limited, limited.keys.admin)).status).toBe(200);
  } finally {
    await other.close();
    await limited.close();
  }
});

test('behind a trusted proxy each client counts for itself; what others claim counts for nothing', async () => {
  const guess = async (at: TestApi, client: string) => {
    const headers = { 'x-forwarded-for': client, authorization: `Bearer mm_test_${'x'.repeat(32)}` };
    return (await at.call('GET', '/v1/mailboxes', { headers })).status;
  };
  const proxied = await startTestApi({ http: { trusted_proxies: ['127.0.0.0/8'] } });
  try {
    for (let i = 0; i < 20; i++) expect(await guess(proxied, `2001:db8:1:2::${i}`)).toBe(401);
    expect(await guess(proxied, '2001:db8:1:2:ffff::1')).toBe(429);
    expect(await guess(proxied, '2001:db8:1:3::1')).toBe(401);
  } finally {
    await proxied.close();
  }
  for (let i = 0; i < 20; i++) expect(await guess(api, `192.0.2.${i}`)).toBe(401);
  expect(await guess(api, '198.51.100.1')).toBe(429);
});

test('the use of a key that has ended is audited', async () => {
  const at = await startTestApi();
  try {
    const { id, apiKey } = await at.key({ expiresAt: new Date(Date.now() - 1000) });
    for (let i = 0; i < 3; i++) await at.call('GET', '/v1/mailboxes', { key: apiKey });
    const look = () => at.call('GET', '/v1/audit-log?action=auth.failed', { key: at.keys.admin });
    for (let tries = 0; tries < 100 && (await look()).json.entries.length === 0; tries++)
      await new Promise((go) => setTimeout(go, 20));
    const { entries } = (await look()).json;
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({ resource_id: id, metadata: { cause: 'expired' } });
  } finally {
    await at.close();
  }
});
