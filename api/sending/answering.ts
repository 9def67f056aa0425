/** What follows from the message that is answered: to whom, under which subject, in which thread (RFC 5322 §3.6.4). */
import { type Address, parseAddress } from '../../core/mail/address.ts';
import type { NamedAddress } from '../../core/mail/address-list.ts';
import type { Facts } from '../../core/mail/facts.ts';
import type { Original } from '../../core/store/senders.ts';
import { Problem } from '../problem.ts';

export interface Answering {
  to: Address[];
  /** Of an own message that is followed up: who had a copy gets one again. */
  cc: Address[];
  subject: string;
  inReplyTo: string | null;
  references: string[];
  threadId: string;
}

const RECIPIENTS = 50;
const SUBJECT = 998;
// Each stands on a line of its own, and no line may be longer than 998.
const LONGEST_ID = 900;
const REFERENCES = 50;

/** Throws the 422 of a message that names nobody who could be written to, or more than a list may hold. */
export function answering(original: Original): Answering {
  const { to, cc } = recipientsOf(original);
  if (to.length === 0)
    throw new Problem(422, 'invalid_address', 'This message names nobody whom a reply could go to.');
  if (to.length > RECIPIENTS || cc.length > RECIPIENTS)
    throw new Problem(
      422,
      'invalid_address',
      `This message asks for replies to more than ${RECIPIENTS} people.`,
    );
  return {
    to,
    cc,
    subject: replySubject(original.subject),
    threadId: original.threadId,
    ...threading(original),
  };
}

function recipientsOf({ direction, facts, forwardPaths }: Original): { to: Address[]; cc: Address[] } {
  const { from = [], replyTo = [], to = [], cc = [] } = (facts ?? {}) as Partial<Facts>;
  if (direction === 'inbound') return { to: canonical(replyTo.length > 0 ? replyTo : from), cc: [] };
  const named = canonical(to);
  // Only Bcc: nobody but the envelope knows them.
  if (named.length === 0)
    return { to: canonical(forwardPaths.map((address) => ({ address, name: '' }))), cc: [] };
  return { to: named, cc: canonical(cc) };
}

function canonical(list: readonly NamedAddress[]): Address[] {
  const read = list.flatMap(({ address }) => {
    const parsed = parseAddress(address, { smtputf8: true });
    return parsed.ok ? [parsed.address] : [];
  });
  return [...new Set(read)];
}

function replySubject(subject: string): string {
  const answered = /^\s*re\s*:/i.test(subject) ? subject : `Re: ${subject}`;
  return answered.slice(0, SUBJECT).toWellFormed().trim();
}

/** The references of the original and the original itself; its In-Reply-To serves where it has none. */
function threading({ internetMessageId, facts }: Original) {
  const { references = [], inReplyTo = [] } = (facts ?? {}) as Partial<Facts>;
  const before = references.length > 0 ? references : inReplyTo.length === 1 ? inReplyTo : [];
  const own = internetMessageId === null ? [] : [internetMessageId];
  const all = [...new Set([...before, ...own])].filter(
    (id) => id.length <= LONGEST_ID && /^<[!-;=?-~]+>$/.test(id),
  );
  // A thread is known by its root and its latest messages.
  const kept = all.length <= REFERENCES ? all : [all[0]!, ...all.slice(1 - REFERENCES)];
  return { inReplyTo: kept.includes(own[0] ?? '') ? own[0]! : null, references: kept };
}
