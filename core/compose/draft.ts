/**
 * What a program asked to have written, as it is kept beside the message. A message can be composed anew from its
 * draft, the bytes stored before (for attachments) and its mailbox.
 */
import type { Mode } from '../mail/mode.ts';

/** Addresses are canonical and texts were checked at the door: no field can end its line. */
export interface Draft {
  to: string[];
  cc: string[];
  bcc: string[];
  /** Recipients that the mailbox adds to everything it sends: in Cc, and in the envelope alone. */
  autoCc: string | null;
  autoBcc: string | null;
  subject: string;
  markdown: string;
  replyTo: string | null;
  /** Of a reply; with angle brackets (RFC 5322 §3.6.4). */
  inReplyTo: string | null;
  references: string[];
  ucan: string | null;
  /** With its angle brackets; it stays when the message is composed anew, and so does the date. */
  messageId: string;
  /** ISO 8601. */
  date: string;
  /** What the footer says about who looks at the mail. */
  oversight: Oversight;
  attachments: AttachmentRef[];
}

/** An attachment within the stored message; its bytes are kept nowhere else. */
export interface AttachmentRef {
  /** Clean, and no other attachment has it. */
  name: string;
  /** It had been written otherwise: a reviewer is told. */
  altered: boolean;
  contentType: string;
  /** Decoded. */
  size: number;
  /** The base64 lines as they stand in the message: from so many octets before its end, so many octets. */
  fromEnd: number;
  length: number;
}

/** What can be said about oversight when the message is written. */
export interface Oversight {
  mode: Mode;
  /** The allowlist of the mailbox may let it pass without a person. */
  allowlistCounts: boolean;
}

/** In whose name mail is written. */
export interface Sender {
  address: string;
  name: string | null;
  signatureBlock: string | null;
  operatorName: string;
  physicalAddress: string | null;
  did: string | null;
  /** Where a reader can check who wrote it; null leaves the line out. */
  verifyLink: (message: VerifiedMessage) => string | null;
  /** Where a recipient can say that it wants no more; null where no such link is given. */
  unsubscribeLink: ((address: string) => string) | null;
}

/** What the link vouches for, known before there is a body. */
export interface VerifiedMessage {
  messageId: string;
  to: string[];
  cc: string[];
  subject: string;
  oversightMode: Mode;
}

/** What an editor may change; what is left out stays. */
export interface DraftChanges {
  to?: string[];
  cc?: string[];
  bcc?: string[];
  subject?: string;
  markdown?: string;
}

/** Everybody who gets it, each once. */
export function forwardPathsOf(draft: Pick<Draft, 'to' | 'cc' | 'bcc' | 'autoCc' | 'autoBcc'>): string[] {
  return [...new Set([...draft.to, ...ccOf(draft), ...draft.bcc, ...present(draft.autoBcc)])];
}

/** Who stands in Cc. */
export function ccOf({ to, cc, autoCc }: Pick<Draft, 'to' | 'cc' | 'autoCc'>): string[] {
  return [...new Set([...cc, ...present(autoCc).filter((address) => !to.includes(address))])];
}

/** The names of the members that `changes` would make different. */
export function changedMembers(draft: Draft, changes: DraftChanges): (keyof DraftChanges)[] {
  const names: (keyof DraftChanges)[] = ['to', 'cc', 'bcc', 'subject', 'markdown'];
  return names.filter(
    (name) => changes[name] !== undefined && JSON.stringify(changes[name]) !== JSON.stringify(draft[name]),
  );
}

function present(address: string | null): string[] {
  return address === null ? [] : [address];
}
