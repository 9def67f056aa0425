import { afterAll, beforeAll, expect, test } from 'vitest';
import { networkOf, requireRate } from '../../api/limiter.ts';
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
