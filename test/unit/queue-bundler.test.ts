import { expect, test } from 'vitest';
import { Bundler } from '../../core/queue/bundler.ts';

const ids = (count: number, from = 0) => Array.from({ length: count }, (_, i) => `id${from + i}`);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
const tick = () => new Promise((resolve) => setImmediate(resolve));

function bundler(over: Partial<ConstructorParameters<typeof Bundler>[0]> = {}) {
  const sent: string[][] = [];
  const at: number[] = [];
  const seen = { dropped: 0, failures: 0 };
  const bundles = new Bundler({
    size: 200,
    send: async (bundle) => {
      at.push(performance.now());
      sent.push(bundle);
    },
    onFailure: () => {
      seen.failures += 1;
    },
    onDrop: (count) => {
      seen.dropped += count;
    },
    ...over,
  });
  return { bundles, sent, at, seen };
}

test('an idle bundler sends in the same turn of the event loop, and all of that turn at once', async () => {
  const { bundles, sent } = bundler();
  bundles.add(['a']);
  bundles.add(['b']);
  await tick();
  expect(sent).toEqual([['a', 'b']]);
});

test('a busy bundler sends at most one bundle in ten milliseconds', async () => {
  const { bundles, sent, at } = bundler();
  for (let i = 0; i < 50; i += 1) {
    bundles.add([`id${i}`]);
    await sleep(1);
  }
  await sleep(30);
  expect(sent.flat()).toEqual(ids(50));
  const gaps = at.slice(1).map((time, i) => time - at[i]!);
  expect(Math.min(...gaps)).toBeGreaterThanOrEqual(9);
});

test('a bundle holds no more ids than its size, and none twice', async () => {
  const { bundles, sent } = bundler();
  bundles.add(ids(450));
  bundles.add(ids(450));
  await sleep(60);
  expect(sent.map((bundle) => bundle.length)).toEqual([200, 200, 50]);
});

test('while one bundle is on its way the next one waits for it', async () => {
  let most = 0;
  let now = 0;
  const { bundles } = bundler({
    send: async () => {
      now += 1;
      most = Math.max(most, now);
      await sleep(30);
      now -= 1;
    },
  });
  bundles.add(ids(1000));
  await sleep(100);
  expect(most).toBe(1);
});

test('what could not be sent is sent later, and sooner when told to hurry', async () => {
  let away = true;
  const sent: string[][] = [];
  const { bundles, seen } = bundler({
    longestPauseMs: 60_000,
    send: async (bundle) => {
      if (away) throw new Error('away');
      sent.push(bundle);
    },
  });
  bundles.add(ids(3));
  await sleep(400); // failures at 0, 100 and 300 ms; the next would come at 700
  expect(seen.failures).toBe(3);
  away = false;
  bundles.hurry();
  await sleep(20);
  expect(sent).toEqual([ids(3)]);
});

test('beyond its limit a bundler drops what comes and counts it', async () => {
  const { bundles, seen } = bundler({
    limit: 100,
    send: async () => {
      throw new Error('away');
    },
  });
  for (let i = 0; i < 50; i += 1) {
    bundles.add(ids(20, i * 20));
    await tick();
  }
  expect(bundles.waiting).toBe(100);
  expect(seen.dropped).toBe(900);
  await bundles.close(10);
});

test('closing sends what waits, within its time', async () => {
  const { bundles, sent } = bundler();
  bundles.add(ids(500));
  await bundles.close(500);
  expect(sent.flat()).toHaveLength(500);
  bundles.add(['late']);
  await sleep(20);
  expect(sent.flat()).toHaveLength(500);
});
