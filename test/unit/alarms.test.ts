import { pino } from 'pino';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type Alarm, createMetrics, type Metrics } from '../../core/runtime/metrics.ts';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { startWatch } from '../../core/runtime/watch.ts';
import { watchCertificate } from '../../gateway/certificate-watch.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

let metrics: Metrics;
let said: string[];
const log = pino(
  { level: 'info', base: null },
  { write: (line) => said.push(`${JSON.parse(line).level} ${JSON.parse(line).msg}`) },
);

beforeEach(() => {
  vi.useFakeTimers({ now: new Date('2026-11-21T08:00:00Z') });
  metrics = createMetrics();
  said = [];
});
afterEach(() => vi.useRealTimers());

async function isOn(kind: Alarm): Promise<boolean> {
  const text = await metrics.registry.getSingleMetricAsString('postern_alarm');
  return text.includes(`postern_alarm{kind="${kind}"} 1`);
}

function servers(kind: 'redis' | 'postgres' = 'redis') {
  const well = { database: true, redis: true };
  const query = async () => {
    if (!well.database) throw new Error('terminated');
    return { rows: [] };
  };
  const runtime = {
    metrics,
    log,
    database: { pool: { query } },
    bells: { kind, healthy: async () => well.redis },
  };
  const watch = startWatch(runtime as unknown as Runtime, { everyMs: 1000 });
  return { well, watch };
}

test.each(['database', 'redis'] as const)(
  'the alarm %s is on while two looks in a row have failed, and is told once',
  async (kind) => {
    const { well, watch } = servers();
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await isOn(kind)).toBe(false);
    well[kind] = false;
    await vi.advanceTimersByTimeAsync(1000);
    expect(await isOn(kind)).toBe(false);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(await isOn(kind)).toBe(true);
    well[kind] = true;
    await vi.advanceTimersByTimeAsync(1000);
    expect(await isOn(kind)).toBe(false);
    expect(said).toEqual([expect.stringMatching(/^50 .* does not answer/), `30 the alarm ${kind} is over`]);
    await watch.close();
  },
);

test('a database that answers late counts as one that does not', async () => {
  const never = () => new Promise<never>(() => {});
  const runtime = { metrics, log, database: { pool: { query: never } }, bells: { kind: 'postgres' } };
  startWatch(runtime as unknown as Runtime, { everyMs: 1000 });
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await isOn('database')).toBe(true);
  expect(await isOn('redis')).toBe(false);
});

test('there is no alarm redis without Redis', async () => {
  const { well, watch } = servers('postgres');
  well.redis = false;
  await vi.advanceTimersByTimeAsync(10_000);
  expect(await isOn('redis')).toBe(false);
  await watch.close();
});

test.each([
  ['that ended yesterday', -DAY, true, 'has ended'],
  ['that ends in 13 days', 13 * DAY, true, 'ends soon'],
  ['that ends in 15 days', 15 * DAY, false, undefined],
] as const)('a certificate %s', async (_what, left, on, words) => {
  const watch = watchCertificate({ metrics, log }, { notAfter: new Date(Date.now() + left) });
  expect(await isOn('certificate')).toBe(on);
  if (words === undefined) expect(said).toEqual([]);
  else expect(said).toEqual([expect.stringContaining(words)]);
  watch.close();
});

test('a certificate is looked at each day, and told once; a fresh one ends the alarm', async () => {
  const watch = watchCertificate({ metrics, log }, { notAfter: new Date(Date.now() + 15 * DAY) });
  await vi.advanceTimersByTimeAsync(DAY);
  expect(await isOn('certificate')).toBe(false);
  await vi.advanceTimersByTimeAsync(5 * DAY);
  expect(await isOn('certificate')).toBe(true);
  watch.use({ notAfter: new Date(Date.now() + 90 * DAY) });
  expect(await isOn('certificate')).toBe(false);
  expect(said).toHaveLength(2);
  watch.close();
});

test.each(['content', 'oversight_copy'] as const)(
  'the alarm %s, which nothing else ends, is over when a day has passed without another',
  async (kind) => {
    metrics.alarm(kind, true);
    metrics.alarm('disk', true);
    vi.setSystemTime(Date.now() + 23 * HOUR);
    expect(await isOn(kind)).toBe(true);
    metrics.alarm(kind, true);
    vi.setSystemTime(Date.now() + 23 * HOUR);
    expect(await isOn(kind)).toBe(true);
    vi.setSystemTime(Date.now() + 2 * HOUR);
    expect(await isOn(kind)).toBe(false);
    expect(await isOn('disk')).toBe(true);
    metrics.alarm(kind, true);
    expect(await isOn(kind)).toBe(true);
  },
);
