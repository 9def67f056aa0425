/** Closes checkpoints of the audit log: every ten minutes, or every 10,000 events, whichever comes first. */
import type { Logger } from 'pino';
import {
  type CheckpointRules,
  closeCheckpoint,
  isSettled,
  type LogHead,
  logHead,
} from '../store/checkpoints.ts';
import type { Database } from '../store/database.ts';
import { type Rounds, startRounds } from './rounds.ts';
import type { Signer } from './signer.ts';

const RULES: CheckpointRules = { events: 10_000, seconds: 600 };
const LOOK_MS = 10_000;

/**
 * Starts it; every process may have one, for one at a time closes. Events come to light in another order than they
 * are numbered in, so in each round only what could be seen in an earlier one is covered, once everyone who was
 * writing then has ended.
 */
export function startCheckpoints({
  database,
  signer,
  log,
  everyMs = LOOK_MS,
  rules = RULES,
}: {
  database: Database;
  signer: Pick<Signer, 'current'>;
  log: Pick<Logger, 'warn'>;
  everyMs?: number;
  rules?: CheckpointRules;
}): Rounds {
  let closed = false;
  let head: LogHead | undefined;
  const rounds = startRounds(async () => {
    try {
      if (head !== undefined && (await isSettled(database.pool, head))) {
        const key = await signer.current();
        while (!closed && (await closeCheckpoint(database, head.seq, rules, key)) !== undefined);
        head = undefined;
      }
      head ??= await logHead(database.pool);
    } catch (err) {
      log.warn({ err }, 'no checkpoint of the audit log could be closed; it will be tried again');
    }
  }, everyMs);
  return {
    close() {
      closed = true;
      return rounds.close();
    },
  };
}
