/** Why a message is where it is, and what happens next, in words for people. Pure: facts in, sentences out. */
import { plainTime } from '../../core/mail/text.ts';
import type { MessageRecord } from '../../core/store/messages.ts';
import { replyText } from './emails.ts';

export interface Explanation {
  /** Why it is where it is. */
  because: string[];
  /** What happens next, and who can change it. */
  next: string[];
}

export interface Surroundings {
  /** The route its mail takes, and why that one is closed, if it is. */
  route: string;
  paused: { reason: string; probeAt: Date } | null;
  now: Date;
}

export function explain(m: MessageRecord, around: Surroundings): Explanation {
  switch (m.state) {
    case 'received':
      return {
        because: ['It has been accepted and committed, and waits to be judged.'],
        next: [
          'Policy judges it within moments. If it stays here for a minute, no policy worker is running.',
        ],
      };
    case 'held':
      return held(m);
    case 'scheduled':
      return {
        because: [`It waits for its time, ${stamp(m.sendAt)}.`],
        next: ['Then it is judged once more and sent. It can be cancelled until then.'],
      };
    case 'queued':
      return queued(m, around);
    case 'relaying':
      return {
        because: [
          `Attempt ${m.attempts} is under way since ${stamp(m.lastAttempt?.startedAt)} over the route ${around.route}.`,
        ],
        next: [
          m.leaseUntil === null || m.leaseUntil < around.now
            ? 'The worker that sends it has gone silent: it will become in doubt.'
            : `Its worker holds it until ${stamp(m.leaseUntil)} at least; should it die, the message becomes in doubt.`,
        ],
      };
    case 'in_doubt':
      return {
        because: [m.statusReason ?? 'The connection was lost when the next hop may already have taken it.'],
        next: [
          'Nothing is sent again by itself, unless delivery.in_doubt is set to retry.',
          'An admin settles it: retry (it may arrive twice), sent, or failed.',
        ],
      };
    default:
      return ended(m);
  }
}

function held(m: MessageRecord): Explanation {
  const composer = m.composerName === null ? '' : `, but not ${m.composerName}, who composed it`;
  return {
    because: (m.hold?.reasons ?? []).map((reason) => `It is held: ${reason}.`),
    next: [
      `Anyone with the scope oversight may approve or reject it${composer}.`,
      `Without an answer it expires at ${stamp(m.hold?.expiresAt)} and is never sent.`,
    ],
  };
}

function queued(m: MessageRecord, { route, paused, now }: Surroundings): Explanation {
  const because = [released(m)];
  if (paused !== null) {
    return {
      because: [...because, `The route ${route} is paused: ${paused.reason}.`],
      next: [`The route is tried again at ${stamp(paused.probeAt)}, or when an admin resumes it.`],
    };
  }
  if (m.attempts === 0 || m.nextAttemptAt === null || m.nextAttemptAt <= now)
    return {
      because: [
        ...because,
        `It is due on the route ${route}${m.attempts > 0 ? `, after ${attempts(m)}` : ''}.`,
      ],
      next: ['The next free delivery worker sends it. If it stays here, no delivery worker is running.'],
    };
  return {
    because: [...because, `It was put off after ${attempts(m)}. ${lastReply(m)}`.trim()],
    next: [`It is tried again at ${stamp(m.nextAttemptAt)}, or at once when an admin retries it.`],
  };
}

function ended(m: MessageRecord): Explanation {
  const decision = m.decisions.at(-1);
  const because: Partial<Record<MessageRecord['state'], string>> = {
    relayed: `The next hop took it at ${stamp(m.changedAt)}. ${lastReply(m)}`.trim(),
    failed: `It could not be delivered. ${m.statusReason ?? lastReply(m)}`.trim(),
    rejected:
      decision?.decision === 'reject'
        ? `${decision.by} rejected it at ${stamp(decision.at)}: ${decision.reason ?? 'no reason given'}.`
        : `Policy refused it: ${m.statusReason ?? 'no reason recorded'}.`,
    expired: 'Nobody decided in time; it was never sent.',
    cancelled: 'It was cancelled before it left; it was never sent.',
    available: 'It has arrived and can be read.',
  };
  return { because: [because[m.state] ?? `It is ${m.state}.`], next: ['Nothing: it has come to its end.'] };
}

function released(m: MessageRecord): string {
  // An approval of what stood there before an edit is void.
  const approval = m.decisions.findLast((one) => one.decision === 'approve' && one.digest === m.digest);
  switch (m.releasedBy) {
    case 'approval':
      return `${approval?.by ?? 'A reviewer'} approved it at ${stamp(approval?.at)}.`;
    case 'allowlist':
      return 'Every recipient is on the allowlist of its mailbox.';
    case 'postern':
      return 'It is mail of Postern itself and needs no approval.';
    default:
      return `The mode ${m.effectiveMode ?? m.mailboxMode} lets it pass without approval.`;
  }
}

function lastReply(m: MessageRecord): string {
  const reply = m.recipients.map(replyText).find((text) => text !== null) ?? m.lastAttempt?.reply;
  return reply == null ? '' : `The next hop said: ${reply}.`;
}

function attempts({ attempts: n }: MessageRecord): string {
  return n === 1 ? 'one attempt' : `${n} attempts`;
}

function stamp(time: Date | string | null | undefined): string {
  return time == null ? 'an unknown time' : plainTime(new Date(time));
}
