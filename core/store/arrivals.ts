/**
 * Mail that has just become available, told to whoever waits for it.
 *
 *   verdicts | approval | not-spam ──announce──▶ NOTIFY ──▶ each process that listens ──▶ those who wait
 */
import { type Batcher, batcher } from './batcher.ts';
import type { Database, Db } from './database.ts';
import type { Lane } from './lane.ts';
import { type Listening, tellProcesses } from './listening.ts';

export interface Arrived {
  mailboxId: string;
  id: string;
}

const CHANNEL = 'postern_arrivals';
/** A notice holds less than 8000 octets; an arrival takes 54 of them. */
const TOLD_AT_ONCE = 140;

/** Tells of mail once the transaction of `db` is committed. */
export async function announce(db: Db | Lane, arrived: readonly Arrived[]): Promise<void> {
  for (let at = 0; at < arrived.length; at += TOLD_AT_ONCE) {
    const some = arrived.slice(at, at + TOLD_AT_ONCE);
    await tellProcesses(db, CHANNEL, some.map(({ mailboxId, id }) => `${mailboxId}:${id}`).join(' '));
  }
}

/**
 * Tells of mail after its commit, many arrivals in one short transaction of a connection of its own: NOTIFY takes
 * its turn at commit, and verdicts must not wait for that. A notice that is lost only makes somebody wait longer.
 */
export function announcing(database: Database): Batcher<Arrived, void> {
  const lane = database.lane('arrivals', { durable: false });
  return batcher<Arrived, void>({
    max: TOLD_AT_ONCE,
    async run(arrived) {
      await announce(lane, arrived);
      return arrived.map(() => undefined);
    },
  });
}

const ARRIVED = /^[0-9A-Z]{26}:[0-9A-Z]{26}$/;

/** From now on `handler` is told of arrivals. Returns how to stop. */
export function onArrivals(listening: Listening, handler: (arrived: Arrived[]) => void): () => void {
  return listening.on(CHANNEL, (text) => {
    const told = text.split(' ').filter((pair) => ARRIVED.test(pair));
    handler(told.map((pair) => ({ mailboxId: pair.slice(0, 26), id: pair.slice(27) })));
  });
}
