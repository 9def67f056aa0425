/** From what became of the recipients to what becomes of the message. Pure. */
import { after, stepAfterAttempt } from '../core/mail/lifecycle.ts';
import type { Claim } from '../core/store/claiming.ts';
import type { Outcome, RecipientOutcome } from '../core/store/outcomes.ts';
import { isDelayed, nextAttempt, type RetryPolicy } from './retry.ts';
import type { Report } from './transport.ts';

export interface Patience {
  retry: RetryPolicy;
  giveUpAfterHours: number;
  delayNoticeAfterHours: number;
  /** After how long a paused route is probed. */
  probeSeconds: number;
}

export interface Moment {
  now: Date;
  random: number;
  /** From when the message's time is counted (see `countedFrom`). */
  since: Date;
}

/** The end of an attempt as it is to be written. */
export function outcomeOf(
  claim: Claim,
  report: Report,
  route: string,
  patience: Patience,
  at: Moment,
): Outcome {
  const again = dueAgain(claim, report, patience, at);
  const recipients = again === undefined ? report.recipients.map(givenUp) : report.recipients;
  const step = stepAfterAttempt([...claim.settled, ...recipients.map(({ status }) => status)]);
  const to = after('relaying', step) as Outcome['to'];
  return {
    id: claim.id,
    worker: claim.worker,
    epoch: claim.epoch,
    attempt: claim.attempt,
    to,
    recipients,
    route,
    nextHop: report.nextHop,
    reply: report.reply,
    // What is in doubt is looked at right away: someone has to be told, or it may be tried again.
    wakeAt: to === 'queued' ? (again ?? at.now) : to === 'in_doubt' ? at.now : null,
    dsnOwed: dsnOwed(claim, recipients, to, patience, at),
    captureId: report.captureId,
    ...(report.captureMarks !== undefined && { captureMarks: report.captureMarks }),
  };
}

/** Undefined when what is deferred has had its time. A route that refuses us does not use up a message's time. */
function dueAgain(claim: Claim, { trouble }: Report, patience: Patience, at: Moment): Date | undefined {
  if (trouble !== null && trouble.kind !== 'unreachable') {
    return new Date(at.now.getTime() + patience.probeSeconds * 1000);
  }
  const { retry, giveUpAfterHours } = patience;
  const clock = { since: at.since, now: at.now, attempt: claim.attempt, giveUpAfterHours };
  return nextAttempt(clock, retry, at.random);
}

function givenUp(one: RecipientOutcome): RecipientOutcome {
  return one.status === 'deferred' ? { ...one, status: 'failed' } : one;
}

/** Copies and DSNs that fail owe nobody a report, but a trace in the audit; the duty is kept the same way. */
function dsnOwed(
  { source, delayReported, settled }: Claim,
  recipients: RecipientOutcome[],
  to: Outcome['to'],
  { delayNoticeAfterHours }: Patience,
  { since, now }: Moment,
): Outcome['dsnOwed'] {
  if (source === 'rest' || source === 'mx' || to === 'in_doubt') return null;
  const failed = recipients.some(({ status }) => status === 'failed');
  if (failed || (to === 'failed' && settled.includes('failed'))) return 'failed';
  const tell = to === 'queued' && source !== 'postern' && !delayReported;
  return tell && isDelayed(since, now, delayNoticeAfterHours) ? 'delayed' : null;
}
