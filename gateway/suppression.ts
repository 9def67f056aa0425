import type { Address } from '../core/mail/address.ts';
import { type Reply, suppressionRefusal } from '../core/mail/reply.ts';
import type { Suppressed } from '../core/store/suppressed.ts';
import type { Answer } from './door.ts';

/**
 * What RCPT answers to a recipient who gets no more mail from us. Said now, the sender hears why; after our 250 it
 * would take a DSN.
 */
export function suppressionAnswer(suppressed: Suppressed, forwardPath: Address): Answer {
  const answer = (reasons: Awaited<ReturnType<Suppressed['among']>>): Reply | undefined => {
    const reason = reasons.get(forwardPath);
    return reason === undefined ? undefined : suppressionRefusal(reason);
  };
  const found = suppressed.among([forwardPath]);
  return found instanceof Promise ? found.then(answer) : answer(found);
}
