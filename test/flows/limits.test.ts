/** What an account may send in a day and in a month, over every door it sends by. */
import { afterEach, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';
import { newSender } from '../support/sending.ts';

const opened: TestApi[] = [];
afterEach(async () => {
  for (const api of opened.splice(0).reverse()) await api.close();
});

async function start(limits: object, databaseUrl?: string): Promise<TestApi> {
  const api = await startTestApi({ limits }, databaseUrl === undefined ? {} : { databaseUrl });
  opened.push(api);
  return api;
}

const query = (api: TestApi, text: string, values: unknown[] = []) =>
  api.runtime.database.pool.query(text, values);
const age = (api: TestApi, days: number) =>
  query(api, `update account set created_at = now() - make_interval(days => $1)`, [days]);
const sentToday = (api: TestApi, count: number) =>
  query(
    api,
    `insert into usage_counts (day, event_type, count) values ((now() at time zone 'UTC')::date, 'sends', $1)
     on conflict (day, event_type) do update set count = excluded.count`,
    [count],
  );

test('without a limit nothing is counted', async () => {
  const api = await start({});
  expect((await (await newSender(api)).send()).status).toBe(202);
  expect((await query(api, `select * from usage_counts where event_type = 'sends'`)).rows).toEqual([]);
});

test('a month has so many messages, and two processes that send at once do not get more', async () => {
  const api = await start({ monthly_sends: 5 });
  const other = await start({ monthly_sends: 5 }, api.runtime.database.url);
  const sender = await newSender(api);
  const replies = await Promise.all(
    Array.from({ length: 12 }, (_, i) =>
      sender.send({ subject: `Number ${i}` }, {}, i % 2 === 0 ? api.url : other.url),
    ),
  );
  expect(replies.filter(({ status }) => status === 202)).toHaveLength(5);
  const refused = replies.find(({ status }) => status === 429)!;
  expect(refused.json).toEqual({
    error: expect.stringContaining('quota'),
    code: 'quota_exceeded',
    type: 'urn:postern:error:quota_exceeded',
    title: 'Too many requests',
    status: 429,
    detail: refused.json.error,
  });
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(31 * 86_400);
  const told = await api.call('GET', '/v1/account', { key: api.keys.agent });
  expect(told.json.monthly_email_quota).toBe(5);
});

test('what was sent earlier in the month counts, what was sent before it does not', async () => {
  const api = await start({ monthly_sends: 5 });
  const sender = await newSender(api);
  await query(
    api,
    `insert into usage_counts (day, event_type, count)
     select date_trunc('month', now() at time zone 'UTC')::date - 1, 'sends', 100`,
  );
  expect((await sender.send()).status).toBe(202);
  await sentToday(api, 5);
  expect((await sender.send()).status).toBe(429);
});

test('what was not sent is given back: a repetition, and one sent a moment ago', async () => {
  const api = await startTestApi({ limits: { monthly_sends: 2 }, api: { duplicate_window: 60 } });
  opened.push(api);
  const { send } = await newSender(api);
  expect((await send({ idempotency_key: 'one' })).status).toBe(202);
  expect((await send({ idempotency_key: 'one' })).status).toBe(200);
  expect((await send()).status).toBe(409);
  expect((await send({ subject: 'Another' })).status).toBe(202);
  expect((await send({ subject: 'A third' })).status).toBe(429);
  expect((await send({ idempotency_key: 'one' })).json.status).toBe('already_sent');
});

test.each([
  [0, 50, 1],
  [9, 50, 1],
  [10, 500, 2],
  [29, 5000, 3],
])('an account of %i days may send %i messages a day', async (days, limit, stage) => {
  const api = await start({ warmup: true });
  const { send } = await newSender(api);
  await age(api, days);
  await sentToday(api, limit - 1);
  expect((await send()).status).toBe(202);
  const refused = await send({ subject: 'One too many' });
  expect(refused.json).toEqual({
    error: expect.any(String),
    code: 'warmup_limited',
    type: 'urn:postern:error:warmup_limited',
    title: 'Too many requests',
    status: 429,
    detail: refused.json.error,
    warmup_stage: stage,
    daily_sent: limit,
    daily_limit: limit,
    hint: expect.any(String),
  });
  expect(refused.json.error).not.toContain('quota');
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(86_400);
});

test('after 30 days an account sends as many as it likes', async () => {
  const api = await start({ warmup: true });
  await age(api, 30);
  await sentToday(api, 100_000);
  expect((await (await newSender(api)).send()).status).toBe(202);
});
