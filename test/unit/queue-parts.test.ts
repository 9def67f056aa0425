import { expect, test } from 'vitest';
import type { QueueLog } from '../../core/queue/backend.ts';
import { idsOf } from '../../core/queue/jobs.ts';
import { Outage } from '../../core/queue/outage.ts';
import { Recent } from '../../core/queue/recent.ts';
import { pauseAfter, startSweeper } from '../../core/queue/sweeper.ts';
import { summary } from '../support/needs.ts';

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

function listeningLog() {
  const lines: string[] = [];
  const write = (level: string) => (_fields: unknown, text?: string) => lines.push(`${level}: ${text}`);
  const log = { debug: () => {}, info: write('info'), warn: write('warn'), error: write('error') };
  return { log: log as unknown as QueueLog, lines };
}

test.for([
  ['ids', { ids: ['a', 'b'] }, ['a', 'b']],
  ['200 ids', { ids: Array(200).fill('a') }, Array(200).fill('a')],
  ['201 ids', { ids: Array(201).fill('a') }, undefined],
  ['no ids', { ids: [] }, undefined],
  ['an id that is no text', { ids: [1] }, undefined],
  ['an empty id', { ids: [''] }, undefined],
  ['a very long id', { ids: ['a'.repeat(65)] }, undefined],
  ['something more than ids', { ids: ['a'], subject: 'x' }, undefined],
  ['nothing', undefined, undefined],
  ['text', 'ids', undefined],
])('a job with %s is read as it should be', ([, data, expected]) => {
  expect(idsOf(data)).toEqual(expected);
});

test('an id is remembered for one taking, and for thirty seconds at most', () => {
  const recent = new Recent({ now: 0 });
  recent.add('a', 0);
  expect(recent.take('a', 1)).toBe(true);
  expect(recent.take('a', 2)).toBe(false);
  recent.add('b', 14_000);
  expect(recent.take('b', 16_000)).toBe(true);
  recent.add('c', 16_000);
  expect(recent.take('c', 46_001)).toBe(false);
  recent.add('d', 50_000);
  expect(recent.take('d', 500_000)).toBe(false);
});

test('the memory for ids is bounded', () => {
  const recent = new Recent({ limit: 100, now: 0 });
  for (let i = 0; i < 10_000; i += 1) recent.add(`id${i}`, 1);
  expect(recent.size).toBeLessThanOrEqual(200);
  expect(recent.take('id9999', 1)).toBe(true);
});

test('an outage is told once when it begins and once when it ends', () => {
  const { log, lines } = listeningLog();
  const outage = new Outage(log);
  for (let i = 0; i < 100; i += 1) outage.failed(new Error('away'));
  outage.over();
  outage.over();
  expect(lines.map((line) => line.split(':')[0])).toEqual(['warn', 'info']);
});

test('the sweeper rings what it finds, and goes on at once while batches are full', async () => {
  const { log } = listeningLog();
  const rung: string[] = [];
  const batches = [['a', 'b'], ['c', 'd'], ['e']];
  const sweeper = startSweeper({
    sweep: async () => ({ policy: batches.shift() ?? [], delivery: [] }),
    bells: { ring: (queue, ids) => rung.push(...ids.map((id) => `${queue} ${id}`)) },
    everyMs: 60_000,
    batch: 2,
    log,
  });
  await sleep(20);
  await sweeper.close();
  expect(rung).toEqual(['policy a', 'policy b', 'policy c', 'policy d', 'policy e']);
});

test('the sweeper never overlaps with itself and closes after the round under way', async () => {
  const { log } = listeningLog();
  let now = 0;
  let most = 0;
  let rounds = 0;
  const sweeper = startSweeper({
    sweep: async () => {
      now += 1;
      most = Math.max(most, now);
      await sleep(30);
      now -= 1;
      rounds += 1;
      return { policy: [], delivery: [] };
    },
    bells: { ring: () => {} },
    everyMs: 1,
    log,
  });
  await sleep(100);
  await sweeper.close();
  expect([now, most]).toEqual([0, 1]);
  const then = rounds;
  await sleep(50);
  expect(rounds).toBe(then);
});

test('a sweeper whose store fails tries again, more slowly, and tells once', async () => {
  const { log, lines } = listeningLog();
  let calls = 0;
  const sweeper = startSweeper({
    sweep: async () => {
      calls += 1;
      if (calls < 4) throw new Error('away');
      return { policy: [], delivery: [] };
    },
    bells: { ring: () => {} },
    everyMs: 5,
    log,
  });
  await sleep(150);
  await sweeper.close();
  expect(calls).toBeGreaterThanOrEqual(4);
  expect(lines).toEqual(['warn: the sweeper failed and will try again', 'info: the sweeper works again']);
  expect([0, 1, 3, 10].map((failures) => pauseAfter(failures, 1_000))).toEqual([1_000, 2_000, 8_000, 30_000]);
});

test('a sweeper that fails for ever says so again', async () => {
  const { log, lines } = listeningLog();
  const sweeper = startSweeper({
    sweep: async () => {
      throw new Error('broken');
    },
    bells: { ring: () => {} },
    everyMs: 0,
    log,
  });
  await sleep(100);
  await sweeper.close();
  expect(lines.slice(0, 2)).toEqual([
    'warn: the sweeper failed and will try again',
    'error: the sweeper still fails',
  ]);
});

test('what was skipped for want of a program is told in one line', () => {
  expect(summary('')).toBeUndefined();
  expect(summary('redis-server\nchromium\nredis-server\n')).toBe(
    'skipped because missing: redis-server (2 tests), chromium (1 test)',
  );
});
