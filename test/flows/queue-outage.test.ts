/** What becomes of bells when their server dies, forgets everything, or should not be used at all. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import pg from 'pg';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterEach, expect, test } from 'vitest';
import { type Bells, type BellsOptions, openBells } from '../../core/queue/bells.ts';
import { freshDatabase } from '../support/database.ts';
import { needs } from '../support/needs.ts';
import { freePort, startRedis, type TestRedis } from '../support/redis.ts';

const ending: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ending.splice(0).reverse()) await end();
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const names = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `m${from + i}`);
const nowhere = 'postgres://nobody@127.0.0.1:1/none';

async function until(what: string, done: () => boolean, ms = 15_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!done()) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(5);
  }
}

async function redisServer(settings?: string[]): Promise<TestRedis> {
  const redis = await startRedis(settings);
  ending.push(() => redis.stop());
  return redis;
}

async function process(over: Partial<BellsOptions>) {
  const lines: string[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
  const metrics = new Registry();
  const bells = await openBells({ url: null, databaseUrl: nowhere, prefix: 'test', log, metrics, ...over });
  ending.push(() => bells.close());
  return { bells, metrics, levels: () => lines.map((line) => JSON.parse(line).level as number) };
}

/** A room that ticks off what it was handed. */
function room(bells: Bells) {
  const handed = new Set<string>();
  bells.answer('policy', (ids) => {
    for (const id of ids) handed.add(id);
  });
  return handed;
}

test.skipIf(needs('redis-server'))('a job holds ids and nothing else, whatever the key', async () => {
  const redis = await redisServer();
  const { bells } = await process({ url: redis.url });
  bells.ring('delivery', names(3));
  while ((await bells.depths()).delivery.jobs !== 1) await sleep(5);
  const found: string[] = [];
  for (const key of await redis.client.keys('*')) {
    if ((await redis.client.type(key)) !== 'hash' || key.endsWith(':meta')) continue;
    const { data, name, ...rest } = await redis.client.hgetall(key);
    found.push(data!);
    expect(name).toMatch(/^bell-[0-9a-f]{8}$/);
    expect(Object.keys(rest).sort()).toEqual(['delay', 'opts', 'priority', 'timestamp']);
    expect(rest.opts).not.toMatch(/m\d/);
  }
  expect(found).toEqual([JSON.stringify({ ids: names(3) })]);
});

test.skipIf(needs('redis-server'))('FLUSHALL loses bells, and nothing but bells', async () => {
  const redis = await redisServer();
  const [near, far] = await Promise.all([process({ url: redis.url }), process({ url: redis.url })]);
  near.bells.ring('policy', names(300));
  await sleep(100);
  await redis.client.flushall();
  const handed = room(far.bells);
  await sleep(100);
  for (let i = 0; i < 20; i += 1) {
    near.bells.ring('policy', names(10, 1_000 + i * 10));
    if (i % 4 === 0) await redis.client.flushall();
    await sleep(11);
  }
  await sleep(100);
  const last = names(250, 5_000);
  near.bells.ring('policy', last);
  await until('the bells after', () => last.every((id) => handed.has(id)));
  expect(handed.has('m0')).toBe(false);
});

test.skipIf(needs('redis-server'))(
  'after kill -9 and a restart bells ring on, those rung meanwhile too',
  async () => {
    const redis = await redisServer();
    const [near, far] = await Promise.all([process({ url: redis.url }), process({ url: redis.url })]);
    const handed = room(far.bells);
    near.bells.ring('policy', ['before']);
    await until('the bell before', () => handed.has('before'));
    await redis.kill();
    const begun = performance.now();
    for (const id of names(1_000)) near.bells.ring('policy', [id]);
    expect(performance.now() - begun).toBeLessThan(100);
    await sleep(1_500);
    expect(await near.bells.healthy()).toBe(false);
    expect((await near.bells.depths()).policy).toEqual({ waiting: 1_000, jobs: null });
    await redis.start();
    await until('the bells of the outage', () => handed.size === 1_001);
    expect(await near.bells.healthy()).toBe(true);
    expect(near.levels()).toEqual([40, 30]); // one warning, one all-clear
  },
);

test.skipIf(needs('redis-server'))('bells under load survive kill -9 and a restart', async () => {
  const redis = await redisServer();
  const [near, far] = await Promise.all([process({ url: redis.url }), process({ url: redis.url })]);
  const handed = room(far.bells);
  for (let i = 0; i < 100; i += 1) {
    near.bells.ring('policy', names(20, i * 20));
    if (i === 30) await redis.kill();
    if (i === 60) await redis.start();
    await sleep(10);
  }
  const after = names(200, 10_000);
  near.bells.ring('policy', after);
  await until('the bells after', () => after.every((id) => handed.has(id)));
  // What was in flight or not yet on disk when it died may be lost: the sweeper's work.
  expect(handed.size).toBeGreaterThan(1_500);
});

test.skipIf(needs('redis-server'))(
  'while Redis is away memory stays flat and ringing stays cheap',
  async () => {
    const redis = await redisServer();
    const { bells, metrics, levels } = await process({ url: redis.url });
    const here: string[] = [];
    bells.answer('delivery', (ids) => here.push(...ids));
    await redis.kill();
    const begun = performance.now();
    for (let i = 0; i < 300; i += 1) {
      bells.ring('policy', names(1_000, i * 1_000));
      if (i % 10 === 0) await sleep(1);
    }
    expect(performance.now() - begun).toBeLessThan(3_000);
    expect((await bells.depths()).policy.waiting).toBeLessThanOrEqual(10_000);
    const dropped = await metrics.getSingleMetricAsString('postern_bells_dropped_total');
    expect(dropped).toMatch(/queue="policy"\} 29\d{4}/);
    bells.ring('delivery', ['near']);
    await sleep(20);
    expect(here).toEqual(['near']); // the room next door needs no Redis
    expect(levels()).toEqual([40]);
  },
);

test.skipIf(needs('redis-server'))('a process that closes while Redis is away ends soon', async () => {
  const redis = await redisServer();
  const script = `
    import { openBells } from './core/queue/bells.ts';
    import { pino } from 'pino';
    const log = pino({ level: 'silent' });
    const bells = await openBells({ url: '${redis.url}', databaseUrl: '', prefix: 'test', log });
    bells.answer('policy', () => {});
    process.once('SIGTERM', () => { bells.ring('delivery', ['x']); bells.close(); });
    setTimeout(() => console.log('open'), 200);`;
  // Wherever between two attempts to reconnect it is told to end.
  const children = [0, 50, 150, 300, 700, 1_500].map((delay) => {
    const child = spawn(globalThis.process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    return { child, delay, exit: once(child, 'exit'), ready: once(child.stdout, 'data') };
  });
  await Promise.all(children.map(({ ready }) => ready));
  await redis.kill();
  const lasted = children.map(async ({ child, delay, exit }) => {
    await sleep(delay);
    const begun = performance.now();
    child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
    return performance.now() - begun;
  });
  const longest = Math.max(...(await Promise.all(lasted)));
  expect(longest).toBeLessThan(4_000);
});

test.skipIf(needs('redis-server'))('a Redis that hangs is like one that is away', async () => {
  const redis = await redisServer();
  const [near, far] = await Promise.all([process({ url: redis.url }), process({ url: redis.url })]);
  const handed = room(far.bells);
  near.bells.ring('policy', ['before']);
  await until('the bell before', () => handed.has('before'));
  redis.freeze();
  near.bells.ring('policy', ['during']);
  expect(await near.bells.healthy()).toBe(false);
  redis.thaw();
  await until('the bell of the outage', () => handed.has('during'));
  expect(await near.bells.healthy()).toBe(true);
  expect(near.levels()).toEqual([40, 30]);
});

test.skipIf(needs('redis-server'))(
  'a Redis that evicts keys is refused, and the text says what to do',
  async () => {
    const redis = await redisServer(['--maxmemory-policy', 'allkeys-lru']);
    await expect(process({ url: redis.url })).rejects.toThrow(/POSTERN_QUEUE_URL.*allkeys-lru.*noeviction/);
  },
);

test.skipIf(needs('redis-server'))(
  'a wrong password is refused at once, and not repeated in the text',
  async () => {
    const redis = await redisServer(['--requirepass', 'right']);
    const url = `redis://:wrong-secret@127.0.0.1:${redis.port}`;
    const begun = performance.now();
    const error = await process({ url }).catch((reason: unknown) => reason as Error);
    expect(String(error)).toMatch(/POSTERN_QUEUE_URL.*refuses/);
    expect(`${(error as Error).stack}`).not.toContain('wrong-secret');
    expect(performance.now() - begun).toBeLessThan(2_000);
  },
);

test('no Redis at the address is told after a while, naming the setting and no password', async () => {
  const url = `redis://user:secret@127.0.0.1:${await freePort()}/3`;
  const error = await process({ url, startWithinMs: 600 }).catch((reason: unknown) => reason as Error);
  expect(String(error)).toMatch(/POSTERN_QUEUE_URL.*no Redis answers at redis:\/\/127.*ECONNREFUSED/);
  expect(String(error)).not.toContain('secret');
});

test.skipIf(needs('redis-server'))('a Redis that starts a little later is waited for', async () => {
  const redis = await redisServer();
  await redis.kill();
  const opening = process({ url: redis.url });
  await sleep(700);
  await redis.start();
  expect(await (await opening).bells.healthy()).toBe(true);
});

test('a worker on PostgreSQL whose connections are cut goes on answering', async () => {
  const database = await freshDatabase();
  ending.push(() => database.drop());
  const [near, far] = await Promise.all([
    process({ databaseUrl: database.url }),
    process({ databaseUrl: database.url }),
  ]);
  const handed = room(far.bells);
  near.bells.ring('policy', ['before']);
  await until('the bell before', () => handed.has('before'));
  const admin = new pg.Client(database.url);
  await admin.connect();
  await admin.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and pid <> pg_backend_pid()`,
  );
  await admin.end();
  near.bells.ring('policy', ['after']);
  await until('the bell after', () => handed.has('after'));
});

test('a PostgreSQL address with options of its own serves as well', async () => {
  const database = await freshDatabase();
  ending.push(() => database.drop());
  const url = new URL(database.url);
  url.searchParams.set('options', '-c statement_timeout=60000');
  const { bells } = await process({ databaseUrl: url.href });
  const handed = room((await process({ databaseUrl: database.url })).bells);
  bells.ring('policy', ['far']);
  await until('the bell', () => handed.has('far'));
});
