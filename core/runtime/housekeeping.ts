/** What has had its time is cleared away, a little each hour. */
import type { Logger } from 'pino';
import type { Database } from '../store/database.ts';
import { forgetKeys } from '../store/idempotency.ts';
import { type Rounds, startRounds } from './rounds.ts';

const HOUR_MS = 3_600_000;
const BATCH = 1_000;
/** So that no statement is long, and an hour's work has an end; what is left over waits for the next. */
const BATCHES = 200;

/** Starts it; every process may have one, for what one has locked the others leave alone. */
export function startHousekeeping({
  database,
  log,
  everyMs = HOUR_MS,
}: {
  database: Pick<Database, 'pool'>;
  log: Pick<Logger, 'info' | 'warn'>;
  everyMs?: number;
}): Rounds {
  let closed = false;
  const rounds = startRounds(async () => {
    try {
      let keys = 0;
      for (let n = 0; n < BATCHES && !closed; n += 1) {
        const gone = await forgetKeys(database.pool, BATCH);
        keys += gone;
        if (gone < BATCH) break;
      }
      if (keys > 0) log.info({ idempotency_keys: keys }, 'housekeeping');
    } catch (err) {
      log.warn({ err }, 'housekeeping failed and will be tried again');
    }
  }, everyMs);
  return {
    close() {
      closed = true;
      return rounds.close();
    },
  };
}
