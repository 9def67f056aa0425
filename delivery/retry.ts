/** When to try again, and when to stop (RFC 5321 §4.5.4.1). Pure. */
import type { Config } from '../core/runtime/config.ts';

export type RetryPolicy = Config['delivery']['retry'];

const HOUR = 3_600_000;

/**
 * When the next attempt is due after attempt number `attempt` (from 1): the wait grows by `factor` up to
 * `max_seconds`, and a share of it is left to chance. `random` is in [0, 1). Undefined when the time that a
 * message is given has passed; the last attempt falls on its very end.
 */
export function nextAttempt(
  {
    since,
    now,
    attempt,
    giveUpAfterHours,
  }: { since: Date; now: Date; attempt: number; giveUpAfterHours: number },
  { first_seconds, factor, max_seconds, jitter }: RetryPolicy,
  random: number,
): Date | undefined {
  const end = since.getTime() + giveUpAfterHours * HOUR;
  if (now.getTime() >= end) return undefined;
  const wait = Math.min(first_seconds * factor ** (attempt - 1), max_seconds);
  // Shorter or longer by half of the share: on average the wait is what was asked for.
  const jittered = wait * (1 + jitter * (random - 0.5));
  return new Date(Math.min(now.getTime() + jittered * 1000, end));
}

/** Whether the sender is to be told now that the message is delayed. */
export function isDelayed(since: Date, now: Date, delayNoticeAfterHours: number): boolean {
  return delayNoticeAfterHours > 0 && now.getTime() - since.getTime() >= delayNoticeAfterHours * HOUR;
}

/**
 * From when a message's time is counted: a pause of its route does not count, since it says nothing about the
 * message and everything about a setting of ours.
 */
export function countedFrom(queuedAt: Date, pause: { from: Date; to: Date } | undefined): Date {
  if (pause === undefined) return queuedAt;
  const paused = pause.to.getTime() - Math.max(pause.from.getTime(), queuedAt.getTime());
  return new Date(queuedAt.getTime() + Math.max(0, paused));
}
