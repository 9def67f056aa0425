import { expect, test } from 'vitest';
import { type Ground, judge } from '../../policy/worker.ts';

/** A store that answers no question until it is let. */
function stalled() {
  const asked: string[][] = [];
  const gates: (() => void)[] = [];
  let open = false;
  const errors: unknown[] = [];
  const query = async ({ values }: { values: [string[]] }) => {
    asked.push(values[0]);
    if (!open) await new Promise<void>((go) => gates.push(go));
    return { rows: [] };
  };
  const lane = { query };
  const ground = {
    database: { lane: () => lane, transaction: async () => [] },
    bells: { ring() {} },
    log: { error: (fields: unknown) => errors.push(fields), info() {} },
    metrics: {},
  } as unknown as Ground;
  const judging = judge(ground, { add: async () => true, drain: async () => {} });
  return {
    ...judging,
    asked,
    errors,
    lane,
    async release() {
      open = true;
      for (const go of gates) go();
      await judging.drain();
    },
  };
}

const ids = (count: number, from = 0) => Array.from({ length: count }, (_, n) => `id-${from + n}`);

test('one read is under way at a time, and the next takes what was rung meanwhile, each id once', async () => {
  const room = stalled();
  room.take(['id-0']);
  room.take(ids(150));
  room.take(ids(150));
  expect(room.asked).toEqual([['id-0']]);
  await room.release();
  expect(room.asked.map((one) => one.length)).toEqual([1, 150]);
});

test('no read asks for more than 200, in the order of ids', async () => {
  const room = stalled();
  room.take(ids(450).toReversed());
  await room.release();
  expect(room.asked.map((one) => one.length)).toEqual([200, 200, 50]);
  for (const one of room.asked) expect(one).toEqual(one.toSorted());
});

test('when the store stalls, memory stays flat: what does not fit is left to the sweeper', async () => {
  const room = stalled();
  for (let n = 0; n < 30; n++) room.take(ids(1000, n * 1000));
  await room.release();
  expect(room.asked.flat().length).toBe(20_000 + 200); // those waiting, and those being read
});

test('a store that fails is noted, and the next bell is answered again', async () => {
  const room = stalled();
  const { query } = room.lane;
  room.lane.query = async () => {
    throw new Error('gone');
  };
  room.take(['id-0']);
  await room.drain();
  expect(room.errors).toHaveLength(1);
  room.lane.query = query;
  room.take(['id-1']);
  await room.release();
  expect(room.asked).toEqual([['id-1']]);
});
