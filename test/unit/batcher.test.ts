import { describe, expect, test } from 'vitest';
import { batcher } from '../../core/store/batcher.ts';

const sqlError = (code: string) => Object.assign(new Error(code), { code });

/** A batcher that doubles numbers, and the batches it made; `gate` holds each of them up. */
function doubling(
  options: { max?: number; lingerMs?: number; weigh?: (n: number) => number; maxWeight?: number } = {},
) {
  const batches: number[][] = [];
  const gates: (() => void)[] = [];
  let gated = false;
  const lane = batcher<number, number>({
    ...options,
    async run(items) {
      batches.push(items);
      if (gated) await new Promise<void>((open) => gates.push(open));
      return items.map((n) => 2 * n);
    },
  });
  const turn = () => new Promise((go) => setTimeout(go, 5));
  return {
    ...lane,
    batches,
    turn,
    close() {
      gated = true;
    },
    open() {
      gated = false;
      for (const go of gates.splice(0)) go();
    },
  };
}

test('an idle lane takes what one turn of the event loop adds, and answers each item', async () => {
  const lane = doubling();
  expect(await Promise.all([1, 2, 3].map((n) => lane.add(n)))).toEqual([2, 4, 6]);
  expect(lane.batches).toEqual([[1, 2, 3]]);
});

test('what comes while a flush is under way goes together in the next', async () => {
  const lane = doubling();
  lane.close();
  const first = lane.add(1);
  await lane.turn();
  const rest = [2, 3, 4].map((n) => lane.add(n));
  await lane.turn();
  expect(lane.batches).toEqual([[1]]);
  lane.open();
  expect(await Promise.all([first, ...rest])).toEqual([2, 4, 6, 8]);
  expect(lane.batches).toEqual([[1], [2, 3, 4]]);
});

test.each([
  ['at most max items', { max: 2 }, [[1, 2], [3, 4], [5]]],
  ['at most maxWeight bytes', { weigh: (n: number) => n, maxWeight: 6 }, [[1, 2, 3], [4], [5]]],
  ['one item alone, however heavy', { weigh: () => 10, maxWeight: 6 }, [[1], [2], [3], [4], [5]]],
])('a flush takes %s', async (_, options, batches) => {
  const lane = doubling(options);
  await Promise.all([1, 2, 3, 4, 5].map((n) => lane.add(n)));
  expect(lane.batches).toEqual(batches);
});

test('a lingering lane begins its flushes no sooner than that after one another', async () => {
  const lane = doubling({ lingerMs: 40 });
  const began = performance.now();
  await lane.add(1);
  expect(performance.now() - began).toBeLessThan(30);
  await Promise.all([lane.add(2), lane.turn().then(() => lane.add(3))]);
  expect(performance.now() - began).toBeGreaterThan(35);
  expect(lane.batches).toEqual([[1], [2, 3]]);
});

test('drain waits for everything added so far, and for nothing when idle', async () => {
  const lane = doubling();
  await lane.drain();
  lane.close();
  const added = [lane.add(1), lane.add(2)];
  let drained = false;
  const draining = lane.drain().then(() => {
    drained = true;
  });
  await lane.turn();
  expect(drained).toBe(false);
  lane.open();
  await Promise.all([draining, ...added]);
});

describe('when the statement fails', () => {
  const outcomes = (settled: PromiseSettledResult<unknown>[]) =>
    settled.map((one) => (one.status === 'fulfilled' ? one.value : one.reason.message));

  test.each(['22P05', '23505'])('with %s, only the item at fault is refused', async (code) => {
    const lane = batcher<number, string>({
      async run(items) {
        if (items.includes(2)) throw sqlError(code);
        return items.map(String);
      },
    });
    const settled = await Promise.allSettled([1, 2, 3].map((n) => lane.add(n)));
    expect(outcomes(settled)).toEqual(['1', code, '3']);
  });

  test('with anything else, nobody is told that it was committed, and nothing is done twice', async () => {
    let runs = 0;
    const lane = batcher<number, string>({
      async run() {
        runs += 1;
        throw sqlError('57P01');
      },
    });
    const settled = await Promise.allSettled([1, 2].map((n) => lane.add(n)));
    expect(outcomes(settled)).toEqual(['57P01', '57P01']);
    expect(runs).toBe(1);
  });

  test('because somebody was in the way, it is run again, whole, and not for ever', async () => {
    const batches: number[][] = [];
    let deadlocks = 2;
    const lane = batcher<number, string>({
      async run(items) {
        batches.push(items);
        if (deadlocks-- > 0) throw sqlError('40P01');
        return items.map(String);
      },
    });
    expect(await Promise.all([1, 2].map((n) => lane.add(n)))).toEqual(['1', '2']);
    expect(batches).toEqual([
      [1, 2],
      [1, 2],
      [1, 2],
    ]);
    deadlocks = Number.POSITIVE_INFINITY;
    await expect(lane.add(3)).rejects.toThrow('40P01');
  });

  test('by answering too little, nobody is told that it was committed', async () => {
    const lane = batcher<number, number>({ run: async (items) => items.slice(1) });
    const settled = await Promise.allSettled([1, 2].map((n) => lane.add(n)));
    expect(settled.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
  });

  test('the lane goes on with what comes next', async () => {
    let broken = true;
    const lane = batcher<number, number>({
      async run(items) {
        if (broken) throw sqlError('57P01');
        return items;
      },
    });
    await expect(lane.add(1)).rejects.toThrow();
    broken = false;
    expect(await lane.add(2)).toBe(2);
  });
});
