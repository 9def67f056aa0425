/** What a transaction means for each recipient: pure, from what was said to what is so. */
import { type NextHopReply, outcomeOf, parseNextHopReply } from '../core/mail/next-hop.ts';
import type { RecipientOutcome } from '../core/store/outcomes.ts';
import type { RawReply } from './smtp-replies.ts';
import { isYes, type Transaction } from './smtp-session.ts';
import type { Parcel, Report, Trouble } from './transport.ts';

type Fate = Omit<RecipientOutcome, 'n' | 'address'>;

/** The outcome of one transaction. A recipient is in doubt only when the final dot had left and no reply came. */
export function reportOf(parcel: Pick<Parcel, 'recipients'>, said: Transaction, nextHop: string): Report {
  const trouble = troubleIn(said);
  const shared = trouble === null ? fateOfAll(said) : refusedTerms(said, trouble);
  const recipients = parcel.recipients.map(({ n, address }, i) => ({
    n,
    address,
    ...(trouble === null ? (refusal(said, i) ?? shared) : shared),
  }));
  return { recipients, nextHop, reply: summary(recipients, said), trouble, captureId: null };
}

/** What one recipient alone was told. */
function refusal({ mail, recipients }: Transaction, i: number): Fate | null {
  const reply = recipients[i]!;
  if (!isYes(mail) || reply === null || isYes(reply)) return null;
  return fateOf(reply, reply.code === 552 ? softened(reply) : undefined);
}

/** RFC 5321 §4.5.3.1.10: an old way of saying that there were too many recipients, unless it says what it means. */
function softened(reply: RawReply): 'deferred' | undefined {
  const { enhanced } = parseNextHopReply(reply.raw);
  return enhanced === null || enhanced === '5.5.3' ? 'deferred' : undefined;
}

/** What holds for every recipient that was not refused by itself. */
function fateOfAll({ mail, recipients, data, final, dotSent, broken }: Transaction): Fate {
  if (final !== null) return fateOf(final);
  if (dotSent) return lost('in_doubt', broken, 'before it answered the final dot');
  if (mail !== null && !isYes(mail)) return fateOf(mail);
  if (data !== null && data.code !== 354) return fateOf(data, data.code < 400 ? 'deferred' : undefined);
  const said421 = recipients.find((reply) => reply?.code === 421);
  if (said421 != null) return fateOf(said421);
  return lost('deferred', broken, 'before the message was handed over');
}

function fateOf(reply: RawReply, status?: Fate['status']): Fate {
  const { code, enhanced, text } = parseNextHopReply(reply.raw);
  const meant = { success: 'relayed', temporary: 'deferred', permanent: 'failed' } as const;
  return { status: status ?? meant[outcomeOf({ code })], code, enhanced, text };
}

function lost(status: 'in_doubt' | 'deferred', broken: string | null, when: string): Fate {
  return { status, code: null, enhanced: '4.4.2', text: `${broken ?? 'the connection was lost'}, ${when}` };
}

/** Codes that speak of us and not of the message (RFC 4954 §6, RFC 3207 §4). */
const TERMS = [530, 534, 535, 538];

function termsReply({ mail, recipients, data }: Transaction): RawReply | undefined {
  return (
    [mail, ...recipients, data].find((reply) => reply !== null && TERMS.includes(reply.code)) ?? undefined
  );
}

function troubleIn(said: Transaction): Trouble | null {
  const reply = said.dotSent ? undefined : termsReply(said);
  if (reply === undefined) return null;
  const { code, text } = parseNextHopReply(reply.raw);
  return {
    kind: /starttls|tls|encrypt/i.test(text) ? 'tls' : 'auth',
    reason: `the next hop said ${code} ${text}`,
  };
}

function refusedTerms(said: Transaction, { reason }: Trouble): Fate {
  const reply = termsReply(said);
  return reply === undefined
    ? { status: 'deferred', code: null, enhanced: '4.7.0', text: reason }
    : fateOf(reply, 'deferred');
}

const WEIGHT = { in_doubt: 3, failed: 2, deferred: 1, relayed: 0 };

/** The reply that decided the attempt: of the worst outcome, the first. */
function summary(recipients: RecipientOutcome[], { final }: Transaction): string {
  const worst = recipients.reduce((a, b) => (WEIGHT[b.status] > WEIGHT[a.status] ? b : a));
  if (worst.status === 'relayed' && final !== null) return spoken(parseNextHopReply(final.raw));
  return spoken({ code: worst.code ?? 0, enhanced: worst.enhanced, text: worst.text ?? '' });
}

function spoken({ code, enhanced, text }: NextHopReply): string {
  return [code === 0 ? '' : String(code), enhanced ?? '', text].filter((word) => word !== '').join(' ');
}
