/** The same promises on both servers: a bell reaches a room, in few jobs, with ids and nothing else. */
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Bells, type BellsOptions, openBells } from '../../core/queue/bells.ts';
import { freshDatabase } from '../support/database.ts';
import { needs } from '../support/needs.ts';
import { redisAvailable, startRedis, type TestRedis } from '../support/redis.ts';

const SERVERS = ['redis', 'postgres'] as const;
let database: Awaited<ReturnType<typeof freshDatabase>>;
let redis: TestRedis | undefined;
let open: Bells[] = [];
let rooms = 0;

beforeAll(async () => {
  database = await freshDatabase();
  if (redisAvailable) redis = await startRedis();
});

afterEach(async () => {
  await Promise.all(open.map((bells) => bells.close()));
  open = [];
});

afterAll(async () => {
  await redis?.stop();
  await database.drop();
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const names = (count: number) => Array.from({ length: count }, (_, i) => `m${rooms}-${i}`);

async function until(what: string, done: () => boolean | Promise<boolean>, ms = 10_000): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await done())) {
    if (Date.now() > deadline) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(5);
  }
}

describe.each(SERVERS)('on %s', (server) => {
  const skip = () => server === 'redis' && needs('redis-server');

  /** One process's bells, and everything its log says. */
  async function process(over: Partial<BellsOptions> = {}) {
    const lines: string[] = [];
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
    const metrics = new Registry();
    const url = server === 'redis' ? redis!.url : null;
    const bells = await openBells({ url, databaseUrl: database.url, prefix: 'test', log, metrics, ...over });
    open.push(bells);
    const count = async (name: string) =>
      (await metrics.getSingleMetric(name)!.get()).values.reduce((sum, v) => sum + v.value, 0);
    return { bells, lines, count };
  }

  function room(bells: Bells, queue: 'policy' | 'delivery' = 'policy') {
    rooms += 1;
    const handed: string[][] = [];
    const answering = bells.answer(queue, (ids) => handed.push(ids));
    return { handed, answering, all: () => handed.flat() };
  }

  test.skipIf(skip())('a bell reaches a room in another process', async () => {
    const [near, far] = await Promise.all([process(), process()]);
    const there = room(far.bells);
    const ids = names(3);
    near.bells.ring('policy', ids);
    await until('the first bell', () => there.all().length === 3);
    await sleep(100);
    const begun = performance.now();
    near.bells.ring('policy', ['one-more']);
    await until('the second bell', () => there.all().includes('one-more'));
    expect(performance.now() - begun).toBeLessThan(500);
    expect(there.handed).toEqual([ids, ['one-more']]);
  });

  test.skipIf(skip())('a bell rung while no room is open waits for one', async () => {
    const { bells } = await process();
    bells.ring('delivery', names(2));
    await bells.close();
    const later = room((await process()).bells, 'delivery');
    await until('the bell', () => later.all().length === 2);
  });

  test.skipIf(skip())('ten thousand ids become few jobs, and every id arrives', async () => {
    const [near, far] = await Promise.all([process(), process()]);
    const there = room(far.bells);
    const ids = names(10_000);
    for (const [i, id] of ids.entries()) {
      near.bells.ring('policy', [id]);
      if (i % 20 === 19) await sleep(1);
    }
    await until('all of them', () => new Set(there.all()).size === 10_000, 30_000);
    expect(new Set(there.all())).toEqual(new Set(ids));
    expect(Math.max(...there.handed.map((bundle) => bundle.length))).toBeLessThanOrEqual(200);
    expect(await near.count('postern_bell_jobs_total')).toBeLessThan(400);
    expect(await near.count('postern_bells_dropped_total')).toBe(0);
  });

  test.skipIf(skip())('a room in this process is told at once, and not again by the job', async () => {
    const { bells, count } = await process();
    const here = room(bells);
    const ids = names(5);
    bells.ring('policy', ids);
    await new Promise((resolve) => setImmediate(resolve));
    expect(here.handed).toEqual([ids]);
    await until('the job', () => here.handed.length > 0);
    while ((await count('postern_bell_jobs_total')) < 1) await sleep(5);
    while ((await bells.depths()).policy.jobs !== 0) await sleep(5);
    await sleep(100);
    expect(here.handed).toEqual([ids]);
    bells.ring('policy', ids);
    await until('the same ids, rung anew', () => here.handed.length === 2);
  });

  test.skipIf(skip())(
    'a bell of another process is handed over though the id was handed over here lately',
    async () => {
      const [here, other] = await Promise.all([process(), process()]);
      const mine = room(here.bells);
      const queue = here.bells.queues()[0]!;
      await queue.pause();
      here.bells.ring('policy', ['shared']);
      while ((await here.count('postern_bell_jobs_total')) < 1) await sleep(5);
      await queue.drain(); // as if a third process had taken the job
      await queue.resume();
      expect(mine.handed).toHaveLength(1);
      other.bells.ring('policy', ['shared']);
      await until('the second', () => mine.handed.length === 2);
    },
  );

  test.skipIf(skip())('jobs can be left out where a room of this process answers', async () => {
    const { bells, count } = await process({ jobs: 'unanswered' });
    const here = room(bells);
    bells.ring('policy', ['told']);
    bells.ring('delivery', ['not-answered']);
    await until('the bell', () => here.handed.length === 1);
    while ((await bells.depths()).delivery.jobs !== 1) await sleep(5);
    // a job is counted a moment after it stands in the queue
    while ((await count('postern_bell_jobs_total')) === 0) await sleep(5);
    expect(await count('postern_bell_jobs_total')).toBe(1);
    await bells.queues()[1]!.obliterate({ force: true });
  });

  test.skipIf(skip())('a room that throws loses neither the next bell nor the process', async () => {
    const { bells, lines } = await process();
    const other = await process();
    const taken: string[] = [];
    bells.answer('policy', (ids) => {
      taken.push(...ids);
      if (ids.includes('bad')) throw new Error('no');
    });
    other.bells.ring('policy', ['bad']);
    await until('the bad one', () => taken.includes('bad'));
    other.bells.ring('policy', ['good']);
    await until('the good one', () => taken.includes('good'));
    expect(lines.filter((line) => line.includes('failed to take a bell'))).toHaveLength(1);
  });

  test.skipIf(skip())('a room that closes leaves its bells to the others', async () => {
    const [first, second, ringer] = await Promise.all([process(), process(), process()]);
    const leaving = room(first.bells);
    const staying = room(second.bells);
    await leaving.answering.close();
    const ids = names(20);
    for (const id of ids) {
      ringer.bells.ring('policy', [id]);
      await sleep(2);
    }
    await until('all of them', () => new Set(staying.all()).size === 20);
    expect(leaving.all()).toEqual([]);
  });

  test.skipIf(skip())('a job that is no bell is dropped and named in the log', async () => {
    const { bells, lines } = await process();
    const here = room(bells);
    const queue = bells.queues()[0]!;
    await queue.add('x', { ids: Array(201).fill('a') });
    await queue.add('x', { ids: [7] });
    await queue.add('x', { ids: ['ok'], subject: 'Hello' });
    await queue.add('x', { ids: ['fine'] });
    await until('the one that is a bell', () => here.all().length > 0);
    expect(here.all()).toEqual(['fine']);
    expect(lines.filter((line) => line.includes('no bell'))).toHaveLength(3);
    expect(lines.join('')).not.toContain('Hello');
    // a job is taken off the queue a moment after its bell was answered
    const left = async () => {
      const { waiting, active } = await queue.getJobCounts();
      return waiting! + active!;
    };
    await until('the queue to be empty', async () => (await left()) === 0);
    expect(await queue.getJobCounts()).toMatchObject({ waiting: 0, active: 0, failed: 0, completed: 0 });
  });

  test.skipIf(skip())(
    'depths count what waits, health is asked of the server, closing is quick',
    async () => {
      const { bells } = await process();
      bells.ring('delivery', names(3));
      while ((await bells.depths()).delivery.jobs !== 1) await sleep(5);
      expect(await bells.depths()).toEqual({
        policy: { waiting: 0, jobs: 0 },
        delivery: { waiting: 0, jobs: 1 },
      });
      expect(await bells.healthy()).toBe(true);
      await bells.queues()[1]!.obliterate({ force: true });
      room(bells);
      await sleep(100);
      const begun = performance.now();
      await bells.close();
      expect(performance.now() - begun).toBeLessThan(1_000);
    },
  );
});
