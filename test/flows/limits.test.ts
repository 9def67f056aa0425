/** What an account may send in a day and in a month, over every door it sends by. */
import { afterEach, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newId } from '../../core/mail/id.ts';
import { judgeReputation, lookAtReputation, startBrake } from '../../core/runtime/brake.ts';
import { switchSending } from '../../core/store/brake.ts';
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

test.each([
  [{ ended: 9, bounced: 9, complaints: 9 }, 'good'],
  [{ ended: 100, bounced: 2, complaints: 0 }, 'good'],
  [{ ended: 100, bounced: 3, complaints: 0 }, 'bad'],
  [{ ended: 100, bounced: 5, complaints: 0 }, 'bad'],
  [{ ended: 100, bounced: 6, complaints: 0 }, { stop: expect.stringContaining('5 %') }],
  [{ ended: 1000, bounced: 0, complaints: 3 }, 'good'],
  [{ ended: 1000, bounced: 0, complaints: 4 }, { stop: expect.stringContaining('0.3 %') }],
])('%j is judged as it should be', (fared, judgement) => {
  expect(judgeReputation(fared)).toEqual(judgement);
});

/** Mail of a mailbox that ended so. */
const ended = (api: TestApi, state: 'relayed' | 'failed', count: number) =>
  query(
    api,
    `insert into messages (id, kind, direction, source, state, mailbox_id, reverse_path, forward_paths, content_id,
       size, digest, facts)
     select id, 'mail', 'outbound', 'rest', $2, $3, 'a@ours.example', '{b@remote.example}', $3, 1, sha256('x'), '{}'
       from unnest($1::text[]) id`,
    [Array.from({ length: count }, () => newId()), state, newId()],
  );
const alarm = async (api: TestApi) =>
  /^postern_alarm\{kind="reputation"\} (\d)/m.exec(await api.runtime.metrics.registry.metrics())?.[1];

test('an account whose mail fails is told of it first, then sends no more, and begins anew when it is allowed to', async () => {
  const api = await start({});
  const { send } = await newSender(api);
  await ended(api, 'relayed', 100);
  await ended(api, 'failed', 3);
  await lookAtReputation(api.runtime);
  expect(await alarm(api)).toBe('1');
  expect((await send()).status).toBe(202);

  await ended(api, 'failed', 3);
  await lookAtReputation(api.runtime);
  await lookAtReputation(api.runtime);
  const { json } = await api.call('GET', '/v1/account', { key: api.keys.agent });
  expect(json).toMatchObject({
    sending_disabled: true,
    sending_disabled_reason: expect.stringContaining('5 %'),
  });
  await expect.poll(async () => (await send({ subject: 'More' })).json.code).toBe('account_disabled');
  const { rows } = await query(
    api,
    `select metadata from audit_events where action = 'account.updated' and actor_name = 'sweeper'`,
  );
  expect(rows).toEqual([{ metadata: expect.objectContaining({ sending_disabled: true }) }]);

  await switchSending(api.runtime.database.pool, { disabled: false, reason: null }, system('cli'));
  await lookAtReputation(api.runtime);
  expect(await alarm(api)).toBe('0');
  await expect.poll(async () => (await send({ subject: 'Again' })).status).toBe(202);
});

test('the brake is there only where the configuration has it', async () => {
  const off = await start({});
  expect(startBrake(off.runtime)).toBeUndefined();
  const on = await start({ reputation_brake: true });
  await ended(on, 'failed', 10);
  const brake = startBrake(on.runtime);
  await brake?.close();
  expect(await alarm(on)).toBe('1');
});
