/** Writes how attempts ended, and does not let go of a known outcome because the store is away for a while. */
import type { Runtime } from '../core/runtime/runtime.ts';
import { isTheDatasFault } from '../core/store/batcher.ts';
import { type Outcome, settling, wasSettled } from '../core/store/outcomes.ts';

export interface Settler {
  /** True: written. False: the claim was lost meanwhile, or this room closed before the store came back. */
  settle(outcome: Outcome): Promise<boolean>;
  /** Waits for what is being written, for at most `withinMs`. */
  close(withinMs: number): Promise<void>;
}

const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 2000;

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
      return writeAgain(isTheDatasFault(err) ? withoutWords(outcome) : outcome);
    }
  }

  /** Never gives up while the room is open: nobody else can end what lies under a lease that is still renewed. */
  async function writeAgain(outcome: Outcome): Promise<boolean> {
    for (let pause = FIRST_PAUSE_MS; performance.now() < giveUpAt; pause *= 2) {
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

const NO_WORDS = 'the next hop’s words could not be stored';

/** What happened counts more than how it was said: the same outcome in words that any database takes. */
function withoutWords(outcome: Outcome): Outcome {
  const recipients = outcome.recipients.map((one) => ({ ...one, enhanced: null, text: NO_WORDS }));
  return { ...outcome, recipients, reply: NO_WORDS };
}
