/** Writes how attempts ended, and does not let go of a known outcome because the store is away for a while. */
import type { Runtime } from '../core/runtime/runtime.ts';
import { type Outcome, settling, wasSettled } from '../core/store/outcomes.ts';

export interface Settler {
  /** True: written. False: the claim was lost meanwhile, or the store stayed away for too long. */
  settle(outcome: Outcome): Promise<boolean>;
  /** Waits for what is being written, for at most `withinMs`. */
  close(withinMs: number): Promise<void>;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;
const PATIENCE_MS = 3_600_000;

export function openSettler({ database, log, metrics }: Runtime): Settler {
  const batches = settling(database, (rows) => metrics.batch('settle', rows));
  const writing = new Set<Promise<boolean>>();
  let giveUpAt = Number.POSITIVE_INFINITY;

  async function write(outcome: Outcome): Promise<boolean> {
    try {
      return await batches.add(outcome);
    } catch (err) {
      log.warn(
        { err, message: outcome.id, outcome: outcome.to },
        'an outcome could not be written: trying again',
      );
      return writeAgain(outcome);
    }
  }

  async function writeAgain(outcome: Outcome): Promise<boolean> {
    const until = performance.now() + PATIENCE_MS;
    for (let pause = FIRST_PAUSE_MS; performance.now() < Math.min(until, giveUpAt); pause *= 2) {
      await new Promise((go) => setTimeout(go, Math.min(pause, LONGEST_PAUSE_MS)));
      try {
        // The connection may have broken after the commit: then there is nothing left to write.
        return (await wasSettled(database.pool, outcome)) || (await batches.add(outcome));
      } catch {
        // said above; it goes on until the store is back
      }
    }
    return false;
  }

  return {
    settle(outcome) {
      const written = write(outcome);
      writing.add(written);
      return written.finally(() => writing.delete(written));
    },
    async close(withinMs) {
      giveUpAt = performance.now() + withinMs;
      await Promise.race([Promise.all(writing), new Promise((go) => setTimeout(go, withinMs).unref())]);
    },
  };
}
