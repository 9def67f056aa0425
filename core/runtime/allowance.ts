/** What an account may send, where the configuration limits it. Without a limit nothing is asked and nothing counted. */
import { type Allowance, giveBackSend, takeSend } from '../store/allowance.ts';
import type { Runtime } from './runtime.ts';

/** Why no more may be sent just now. */
export type Exhausted = { kind: 'warmup' | 'quota'; allowance: Allowance; retryAfterSeconds: number };

/**
 * Does `work` for one message if the account may still send one. What `work` then did not send, because it failed or
 * because `sent` says so of its result, is given back.
 */
export async function withinAllowance<T>(
  { config, database }: Pick<Runtime, 'config' | 'database'>,
  work: () => Promise<T>,
  { sent, refuse }: { sent: (result: T) => boolean; refuse: (why: Exhausted) => Error },
): Promise<T> {
  const { monthly_sends: monthly = null, warmup } = config.limits;
  if (monthly === null && !warmup) return work();
  const allowance = await takeSend(database.pool, { warmup, monthly });
  if (!allowance.taken) throw refuse(exhausted(allowance, monthly));
  let done = false;
  try {
    const result = await work();
    done = sent(result);
    return result;
  } finally {
    if (!done) await giveBackSend(database.pool);
  }
}

/** The month comes first: who has used it up need not come back tomorrow. */
function exhausted(allowance: Allowance, monthly: number | null): Exhausted {
  const { dailyLimit, sentToday, sentThisMonth, dayEndsIn, monthEndsIn } = allowance;
  const byDay = dailyLimit !== null && sentToday >= dailyLimit;
  const byMonth = monthly !== null && sentThisMonth >= monthly;
  return byMonth || !byDay
    ? { kind: 'quota', allowance, retryAfterSeconds: Math.max(1, monthEndsIn) }
    : { kind: 'warmup', allowance, retryAfterSeconds: Math.max(1, dayEndsIn) };
}
