/** What has had its time is cleared away, a little each hour. */
import type { Logger } from 'pino';
import type { Database, Db } from '../store/database.ts';
import { forgetKeys } from '../store/idempotency.ts';
import { forgetCalls } from '../store/idempotent-requests.ts';
import { forgetCodes } from '../store/operator-codes.ts';
import { forgetSessions } from '../store/operator-sessions.ts';
import { forgetSends } from '../store/recent-sends.ts';
import { type Rounds, startRounds } from './rounds.ts';

const HOUR_MS = 3_600_000;
const BATCH = 1_000;
/** So that no statement is long, and an hour's work has an end; what is left over waits for the next. */
const BATCHES = 200;

/** What is cleared away: each deletes up to so many rows whose time is over, and says how many there were. */
const CHORES: readonly (readonly [what: string, forget: (db: Db, limit: number) => Promise<number>])[] = [
  ['idempotency_keys', forgetKeys],
  ['idempotent_requests', forgetCalls],
  ['recent_sends', forgetSends],
  ['operator_codes', forgetCodes],
  ['operator_sessions', forgetSessions],
];

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
    for (const [what, forget] of CHORES) {
      try {
        let gone = 0;
        for (let n = 0; n < BATCHES && !closed; n += 1) {
          const some = await forget(database.pool, BATCH);
          gone += some;
          if (some < BATCH) break;
        }
        if (gone > 0) log.info({ [what]: gone }, 'housekeeping');
      } catch (err) {
        log.warn({ err, what }, 'housekeeping failed and will be tried again');
      }
    }
  }, everyMs);
  return {
    close() {
      closed = true;
      return rounds.close();
    },
  };
}
