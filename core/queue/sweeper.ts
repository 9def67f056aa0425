/**
 * The sweeper: rings again for rows whose time has come and for rows whose bell was lost.
 *
 *   sweep(limit) ──▶ ids ──▶ ring ──▶ a full batch? again at once : wait everyMs
 *
 * It is the only timer that mail depends on, so losing the whole queue server loses no message: `sweep`
 * finds the rows whose wake_at has passed and pushes wake_at forward in the same statement.
 */
import type { QueueLog } from './backend.ts';
import type { Bells } from './bells.ts';
import type { QueueName } from './jobs.ts';

export interface SweeperOptions {
  /** At most `limit` ids in all. */
  sweep(limit: number): Promise<Record<QueueName, string[]>>;
  bells: Pick<Bells, 'ring'>;
  everyMs?: number;
  batch?: number;
  log: QueueLog;
}

export interface Sweeper {
  /** Waits for the round that is under way, if any. */
  close(): Promise<void>;
}

/** After so many full batches the others get their turn, as does whoever wants to close. */
const BATCHES_IN_A_ROW = 10;
const LONGEST_BACKOFF_MS = 30_000;

/** Starts the rounds; the first begins at once, for what an earlier life left behind. */
export function startSweeper(options: SweeperOptions): Sweeper {
  const { everyMs = 1_000, log } = options;
  let closed = false;
  let failures = 0;
  let timer: NodeJS.Timeout | undefined;
  let round = turn();

  async function turn(): Promise<void> {
    try {
      await sweepAll(options, () => closed);
      if (failures > 0) log.info({ failures }, 'the sweeper works again');
      failures = 0;
    } catch (error) {
      failures += 1;
      // Said again now and then: what fails for ever must not pass for an outage that is over.
      if (failures === 1) log.warn({ err: error }, 'the sweeper failed and will try again');
      else if (failures % 20 === 0) log.error({ err: error, failures }, 'the sweeper still fails');
    }
    if (closed) return;
    timer = setTimeout(
      () => {
        round = turn();
      },
      pauseAfter(failures, everyMs),
    );
  }

  return {
    async close() {
      closed = true;
      clearTimeout(timer);
      await round;
    },
  };
}

/** The pause before the next round: the usual one, doubled for each failure in a row. */
export function pauseAfter(failures: number, everyMs: number): number {
  return Math.max(everyMs, Math.min(everyMs * 2 ** failures, LONGEST_BACKOFF_MS));
}

async function sweepAll(
  { sweep, bells, batch = 1_000 }: SweeperOptions,
  isClosed: () => boolean,
): Promise<void> {
  for (let batches = 0; batches < BATCHES_IN_A_ROW && !isClosed(); batches += 1) {
    const { policy, delivery } = await sweep(batch);
    bells.ring('policy', policy);
    bells.ring('delivery', delivery);
    if (policy.length + delivery.length < batch) return;
  }
}
