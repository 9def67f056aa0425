/**
 * How an account's mail fared, in words that let nobody count it. Reckoned once a day over the 30 days before, so
 * that nobody learns of single messages by asking again and again.
 */
import type { Runtime } from '../core/runtime/runtime.ts';
import { readAccount } from '../core/store/account.ts';
import { countMail, type MailCounts } from '../core/store/reputation.ts';

export type Rate = 'low' | 'medium' | 'high' | 'unknown';

export interface Reputation {
  account_age_days: number;
  bounce_rate: Rate;
  complaint_rate: Rate;
  rejection_rate: Rate;
  /** The midnight (UTC) up to which it was reckoned. */
  updated_at: string;
}

const DAY_MS = 86_400_000;
const DAYS = 30;
/** Fewer messages say nothing, and would tell about single ones. */
const FEWEST = 10;
/** Below the first the rate is low, below the second medium. */
const BOUNDS = { bounce: [0.02, 0.05], complaint: [0.001, 0.003], rejection: [0.05, 0.2] } as const;

const reckoned = new WeakMap<object, { midnight: number; counts: Promise<MailCounts> }>();

export async function reputationOf(
  { database }: Pick<Runtime, 'database'>,
  now: Date = new Date(),
): Promise<Reputation> {
  const midnight = Math.floor(now.getTime() / DAY_MS) * DAY_MS;
  let known = reckoned.get(database);
  if (known?.midnight !== midnight) {
    const counts = countMail(database.pool, new Date(midnight - DAYS * DAY_MS), new Date(midnight));
    known = { midnight, counts };
    reckoned.set(database, known);
    counts.catch(() => reckoned.delete(database));
  }
  const [counts, account] = await Promise.all([known.counts, readAccount(database.pool)]);
  return {
    account_age_days: Math.max(0, Math.floor((now.getTime() - account.createdAt.getTime()) / DAY_MS)),
    ...ratesOf(counts),
    updated_at: new Date(midnight).toISOString(),
  };
}

export function ratesOf({ relayed, failed, rejected, complaints }: MailCounts) {
  const ended = relayed + failed;
  return {
    bounce_rate: rate(failed, ended, BOUNDS.bounce),
    complaint_rate: rate(complaints, relayed, BOUNDS.complaint),
    rejection_rate: rate(rejected, ended + rejected, BOUNDS.rejection),
  };
}

function rate(part: number, whole: number, [low, high]: readonly [number, number]): Rate {
  if (whole < FEWEST) return 'unknown';
  const share = part / whole;
  return share < low ? 'low' : share < high ? 'medium' : 'high';
}
