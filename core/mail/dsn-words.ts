/** The part of a DSN that people read: what happened, to which recipients, and what they can do. */

import { displayAddress } from './address.ts';
import type { Dsn, DsnRecipient } from './dsn.ts';
import { replyText } from './dsn-status.ts';
import { oneLine } from './text.ts';
import { mailDate } from './trace.ts';

export type DsnKind = 'failed' | 'delayed' | 'rejected' | 'refused' | 'expired' | 'unknown';

const WORDS: Record<DsnKind, { subject: string; what: string; next: string }> = {
  failed: {
    subject: 'Your message could not be delivered',
    what: 'Your message could not be delivered to the recipients below.',
    next: 'It will not be tried again. Please check the addresses and what the other server said before you send it again.',
  },
  delayed: {
    subject: 'Your message is delayed',
    what: 'Your message has not yet been delivered to the recipients below.',
    next: 'You need not do anything: delivery is still being tried. You get another report if it fails in the end.',
  },
  rejected: {
    subject: 'Your message was not approved',
    what: 'Your message was held for review and the reviewer decided not to send it.',
    next: 'It was not sent to the recipients below. Please talk to your reviewer before you send it again.',
  },
  refused: {
    subject: 'Your message was not accepted for sending',
    what: 'Your message was refused by the rules of the mailbox it came from. Nobody reviewed it.',
    next: 'It was not sent to the recipients below. Please ask whoever runs this mail system before you send it again.',
  },
  expired: {
    subject: 'Your message was not approved in time',
    what: 'Your message was held for review and nobody decided before its time ran out.',
    next: 'It was not sent to the recipients below. If it is still needed, please send it again and tell your reviewer.',
  },
  unknown: {
    subject: 'It is not known whether your message was delivered',
    what: 'The connection broke after your message was handed over, so we cannot tell whether it was delivered.',
    next: 'It will not be sent again by itself, since the recipients below might get it twice. Please ask them before you send it again.',
  },
};

export function dsnSubject(kind: DsnKind): string {
  return WORDS[kind].subject;
}

/** The text, in lines that end in CRLF. */
export function dsnWords({ kind, reportingMta, arrivalDate, recipients }: Dsn): string {
  const { what, next } = WORDS[kind];
  return [
    `This is the mail system at ${oneLine(reportingMta, 255)}.`,
    '',
    ...wrap(what),
    ...wrap(next),
    '',
    `Your message came in on ${mailDate(arrivalDate)}.`,
    '',
    ...recipients.flatMap(recipientWords),
  ].join('\r\n');
}

function recipientWords({
  address,
  diagnostic,
  remoteMta,
  reason,
  willRetryUntil,
  action,
}: DsnRecipient): string[] {
  const said = diagnostic === null ? '' : replyText(diagnostic.reply);
  const server = remoteMta === undefined ? 'The other server' : oneLine(remoteMta, 255);
  const lines = [
    ...(reason === undefined ? [] : wrap(oneLine(reason, 1024))),
    ...(said === '' ? [] : wrap(`${server} said: ${said}`)),
    ...(action === 'delayed' && willRetryUntil !== undefined
      ? [`Delivery is tried until ${mailDate(willRetryUntil)}.`]
      : []),
  ];
  return [`<${displayAddress(address)}>`, ...lines.map((line) => `    ${line}`), ''];
}

/** Lines of at most about 72 characters, cut at spaces; one long word stays whole unless it breaks RFC 5322 §2.1.1. */
function wrap(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.match(/\S{1,200}/gu) ?? []) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + word.length < 72) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
