import type { Exhausted } from '../../core/runtime/allowance.ts';
import { Problem } from '../problem.ts';

/** The 429 of an account that may send no more for now (api 0.5): which of the two it is shows in the body. */
export function sendsUsedUp({ kind, allowance, retryAfterSeconds }: Exhausted): Problem {
  const headers = { 'retry-after': String(retryAfterSeconds) };
  if (kind === 'quota')
    return new Problem(
      429,
      'quota_exceeded',
      'The monthly quota of messages is used up. It begins anew with the next month (UTC).',
      {},
      headers,
    );
  const { stage, sentToday, dailyLimit } = allowance;
  return new Problem(
    429,
    'warmup_limited',
    `This account is new and may send ${dailyLimit} messages a day for now.`,
    {
      warmup_stage: stage,
      daily_sent: sentToday,
      daily_limit: dailyLimit,
      hint: 'Try again when the next day (UTC) has begun. The limit rises after 10 and 20 days, and ends after 30.',
    },
    headers,
  );
}
