/**
 * Every refusal we can speak, each with its reply code and enhanced status code (RFC 5321 §4.2,
 * RFC 3463). This file is their only owner. The texts name no rule and no setting of ours.
 */
import type { AddressFault } from './address.ts';

export interface Reply {
  code: number;
  enhanced: string;
  text: string;
}

export const REFUSALS = {
  // Who may send to whom
  relayDenied: { code: 550, enhanced: '5.7.1', text: 'Relaying denied' },
  userUnknown: { code: 550, enhanced: '5.1.1', text: 'No such mailbox here' },
  senderNotOwned: { code: 553, enhanced: '5.7.1', text: 'Sender address not allowed for this login' },
  fromNotOwned: { code: 550, enhanced: '5.7.1', text: 'From header not allowed for this login' },
  readOnly: { code: 550, enhanced: '5.7.1', text: 'This mailbox does not send mail' },
  recipientSuppressed: { code: 550, enhanced: '5.7.1', text: 'Recipient suppressed' },
  sendingDisabled: { code: 550, enhanced: '5.7.1', text: 'Sending is switched off' },
  mailboxDisabled: { code: 550, enhanced: '5.2.1', text: 'Mailbox disabled' },
  refusedByPolicy: { code: 550, enhanced: '5.7.1', text: 'Message refused' },
  clientNotAllowed: { code: 554, enhanced: '5.7.1', text: 'Client not allowed' },

  // What a message must look like
  noFrom: { code: 550, enhanced: '5.6.0', text: 'The message needs one From address' },
  multipleFrom: { code: 550, enhanced: '5.6.0', text: 'Exactly one From address is allowed' },
  badFrom: { code: 550, enhanced: '5.6.0', text: 'The From header is not a valid address' },
  duplicateHeader: { code: 550, enhanced: '5.6.0', text: 'A header field that may stand once stands twice' },
  tooManyAddresses: { code: 550, enhanced: '5.6.0', text: 'Too many addresses in the header' },
  bareLineEnding: { code: 554, enhanced: '5.6.0', text: 'Lines must end in CRLF' }, // RFC 5321 §2.3.8
  nulInMessage: { code: 554, enhanced: '5.6.0', text: 'NUL is not allowed in a message' }, // RFC 2045 §2.8
  badHeader: { code: 554, enhanced: '5.6.0', text: 'Malformed message header' },
  badControlHeader: { code: 550, enhanced: '5.6.0', text: 'An X-Postern header has no valid value' },
  idempotencyMismatch: { code: 550, enhanced: '5.6.0', text: 'Idempotency key used for another message' },
  bodyLineTooLong: { code: 554, enhanced: '5.6.0', text: 'Message line too long' }, // RFC 5321 §4.5.3.1.6
  needsSmtputf8: { code: 554, enhanced: '5.6.7', text: 'The header needs SMTPUTF8' }, // RFC 6531 §3.6
  loop: { code: 554, enhanced: '5.4.6', text: 'Mail loop detected' }, // RFC 5321 §6.3

  // Limits (RFC 5321 §4.5.3)
  headerTooLarge: { code: 552, enhanced: '5.3.4', text: 'Message header too large' },
  tooManyHeaders: { code: 552, enhanced: '5.3.4', text: 'Too many header fields' },
  messageTooLarge: { code: 552, enhanced: '5.3.4', text: 'Message too large' }, // RFC 1870 §6
  lineTooLong: { code: 500, enhanced: '5.5.2', text: 'Line too long' },
  tooManyRecipients: { code: 452, enhanced: '4.5.3', text: 'Too many recipients' },
  sendsUsedUp: { code: 452, enhanced: '4.7.1', text: 'No more mail may be sent for now, try again later' },
  tooManyErrors: { code: 421, enhanced: '4.7.0', text: 'Too many errors, closing' },
  tooManyCommands: { code: 421, enhanced: '4.7.0', text: 'Too many commands without mail, closing' },
  tooManySessions: { code: 421, enhanced: '4.3.2', text: 'Too many connections, try again later' },
  idleTooLong: { code: 421, enhanced: '4.4.2', text: 'Timeout, closing' },

  // Commands
  unknownCommand: { code: 500, enhanced: '5.5.2', text: 'Command not recognised' },
  notImplemented: { code: 502, enhanced: '5.5.1', text: 'Command not implemented' },
  badSequence: { code: 503, enhanced: '5.5.1', text: 'Bad sequence of commands' },
  badParameter: { code: 501, enhanced: '5.5.4', text: 'Bad command parameter' },
  unknownParameter: { code: 555, enhanced: '5.5.4', text: 'Command parameter not recognised' }, // RFC 5321 §4.1.1.11
  badGreeting: { code: 501, enhanced: '5.5.2', text: 'Bad EHLO argument' }, // RFC 5321 §4.1.3
  spokeTooEarly: { code: 554, enhanced: '5.5.0', text: 'Commands sent before the reply they wait for' }, // RFC 2920 §3.1
  wrongProtocol: { code: 421, enhanced: '4.7.0', text: 'This is a mail server, closing' },

  // Ourselves
  localError: { code: 451, enhanced: '4.3.0', text: 'Local error, try again later' },
  storeUnavailable: { code: 451, enhanced: '4.3.0', text: 'Storage not available, try again later' },
  overloaded: { code: 452, enhanced: '4.3.1', text: 'Insufficient storage, try again later' },
  shuttingDown: { code: 421, enhanced: '4.3.2', text: 'Shutting down, try again later' },

  // Login (RFC 4954 §6)
  authRequired: { code: 530, enhanced: '5.7.0', text: 'Authentication required' },
  tlsRequired: { code: 530, enhanced: '5.7.0', text: 'STARTTLS required' }, // RFC 3207 §4
  authNeedsTls: { code: 538, enhanced: '5.7.11', text: 'Encryption required for authentication' },
  authInvalid: { code: 535, enhanced: '5.7.8', text: 'Authentication credentials invalid' },
  authMalformed: { code: 501, enhanced: '5.5.2', text: 'Authentication exchange malformed or cancelled' },
  authMechanism: { code: 504, enhanced: '5.5.4', text: 'Authentication mechanism not supported' },
  authRateLimited: {
    code: 454,
    enhanced: '4.7.0',
    text: 'Too many authentication attempts, try again later',
  },
  authUnavailable: { code: 454, enhanced: '4.7.0', text: 'Authentication not available, try again later' },
  authTooManyFailures: { code: 421, enhanced: '4.7.0', text: 'Too many authentication failures, closing' },
} as const satisfies Record<string, Reply>;

export type Refusal = keyof typeof REFUSALS;

const SUPPRESSED_AFTER = {
  hard_bounce: 'mail to it bounced for good',
  complaint: 'it complained of mail',
  unsubscribe: 'it unsubscribed',
  manual: 'the operator listed it',
} as const;

/** The refusal of a recipient who gets no more mail from us, with the reason: the sender cannot know it otherwise. */
export function suppressionRefusal(reason: keyof typeof SUPPRESSED_AFTER): Reply {
  const { recipientSuppressed } = REFUSALS;
  return { ...recipientSuppressed, text: `${recipientSuppressed.text}: ${SUPPRESSED_AFTER[reason]}` };
}

/** An error that already knows its answer. `cause` is for our log, `reply` for the peer. */
export class SmtpRefusal extends Error {
  readonly reply: Reply;
  constructor(reply: Reply, options?: ErrorOptions) {
    super(format(reply), options);
    this.name = 'SmtpRefusal';
    this.reply = reply;
  }
}

/** The reply as one line, without its CRLF. */
export function format({ code, enhanced, text }: Reply): string {
  return `${code} ${enhanced} ${text}`;
}

const ADDRESS_REFUSALS = {
  syntax: { code: 501, enhanced: '5.1.3', text: 'Bad address syntax' },
  tooLong: { code: 501, enhanced: '5.1.3', text: 'Address too long' },
  domain: { code: 501, enhanced: '5.1.2', text: 'Bad domain in address' },
  quoted: { code: 553, enhanced: '5.1.3', text: 'Quoted local parts are not accepted' },
  literal: { code: 550, enhanced: '5.7.1', text: 'Address literals are not accepted' },
  route: { code: 550, enhanced: '5.7.1', text: 'Source routes are not accepted' },
  needsSmtputf8: { code: 553, enhanced: '5.6.7', text: 'Address needs SMTPUTF8' }, // RFC 6531 §3.5
  invisible: { code: 553, enhanced: '5.1.3', text: 'Address holds invisible characters' },
} as const satisfies Record<AddressFault, Reply>;

/** The sender's counterparts of the destination codes (RFC 3463 §3.2). */
const AS_SENDER: Record<string, string> = { '5.1.2': '5.1.8', '5.1.3': '5.1.7' };

/** What MAIL (`reversePath`) or RCPT (`forwardPath`) answers to an address we do not accept. */
export function addressRefusal(fault: AddressFault, path: 'reversePath' | 'forwardPath'): Reply {
  const reply = ADDRESS_REFUSALS[fault];
  return path === 'forwardPath' ? reply : { ...reply, enhanced: AS_SENDER[reply.enhanced] ?? reply.enhanced };
}
