/** What we say when all is well, and how a door's answer becomes an effect. Refusals are in core/mail/reply.ts. */
import type { Answer } from './door.ts';

export const OK = { code: 250, enhanced: '2.0.0', text: 'OK' };
export const SENDER_OK = { code: 250, enhanced: '2.1.0', text: 'Sender OK' };
export const RECIPIENT_OK = { code: 250, enhanced: '2.1.5', text: 'Recipient OK' };
export const BYE = { code: 221, enhanced: '2.0.0', text: 'Bye' };
export const GO_AHEAD = ['End data with <CR><LF>.<CR><LF>'];
export const NO_PROMISE = { code: 252, enhanced: '2.1.5', text: 'Cannot say; send mail and see' };
export const HELP = { code: 214, enhanced: '2.0.0', text: 'See RFC 5321' };

/** Runs `then` once the answer is known to be a yes. */
export function whenAllowed(answer: Answer, then: () => void): Answer {
  if (answer instanceof Promise)
    return answer.then((refusal) => {
      if (refusal === undefined) then();
      return refusal;
    });
  if (answer === undefined) then();
  return answer;
}
