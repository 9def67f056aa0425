/**
 * Who gets no more mail is left out of the attempt. The doors refuse such recipients; this is for those who
 * unsubscribed while the message waited. Postern's own mail goes to people who run it and to senders, so nobody is
 * left out of that.
 */
import { suppressionRefusal } from '../core/mail/reply.ts';
import type { Claim } from '../core/store/claiming.ts';
import type { RecipientOutcome } from '../core/store/outcomes.ts';
import type { Suppressed } from '../core/store/suppressed.ts';
import type { Attempt } from './attempt.ts';
import { forAll } from './transport.ts';

export interface Spared {
  /** The claim with those recipients who may have the message. */
  claim: Claim;
  /** How the others fared. */
  others: RecipientOutcome[];
}

/** Never rejects: while nobody can tell who is suppressed, everyone waits. */
export async function spare(claim: Claim, suppressed: Suppressed): Promise<Spared> {
  if (claim.kind !== 'mail') return { claim, others: [] };
  try {
    const reasons = await suppressed.among(claim.recipients.map(({ address }) => address));
    if (reasons.size === 0) return { claim, others: [] };
    const others: RecipientOutcome[] = claim.recipients.flatMap(({ n, address }) => {
      const reason = reasons.get(address);
      return reason === undefined
        ? []
        : [{ n, address, status: 'failed' as const, ...suppressionRefusal(reason) }];
    });
    const recipients = claim.recipients.filter(({ address }) => !reasons.has(address));
    return { claim: { ...claim, recipients }, others };
  } catch {
    const text = 'it cannot be told who is suppressed';
    const others = forAll(claim, 'deferred', { enhanced: '4.3.0', text });
    return { claim: { ...claim, recipients: [] }, others };
  }
}

/** The attempt that needs no way out. */
export function nobodyLeft({ others }: Spared): Attempt {
  const text = others[0]?.text ?? 'there is no recipient';
  return {
    report: { recipients: [], nextHop: null, reply: text, trouble: null, captureId: null },
    sent: false,
    tampered: false,
  };
}
