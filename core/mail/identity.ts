/**
 * The identity of outgoing mail: who answers for it, how it was overseen, and which message that is said of.
 *
 *   header ─▶ mid, to_hash, subject_hash ┐
 *   body ───▶ body_hash                  ├─▶ claims ─▶ token (token.ts) ─▶ X-MultiMail-Identity
 *   what the store knows of the sender ──┘
 *
 * The same reading of a message serves whoever signs it and whoever checks it.
 */
import { createHmac, hash } from 'node:crypto';
import { domainOf } from './address.ts';
import { parseAddressList } from './address-list.ts';
import { bodyHash } from './body-hash.ts';
import { decodeWords, fromLatin1 } from './encoded-word.ts';
import { type HeaderBlock, rawValue } from './headers.ts';
import type { Mode } from './mode.ts';
import { type SigningKey, signToken } from './token.ts';

/** What binds a token to one message. */
export interface Bound {
  /** Message-ID without brackets. */
  mid: string;
  /** Hexadecimal SHA-256 of the addresses in To and Cc, in lower case, sorted, one a line. */
  to_hash: string;
  /** Hexadecimal SHA-256 of the decoded subject in NFC. */
  subject_hash: string;
}

/** What is said of whoever sends. */
export interface SenderClaims {
  ai_generated: boolean;
  /** What the agent may do; empty for people. */
  capabilities: string[];
  /** The agent's name; null for people. */
  composer: string | null;
  /** When the mailbox was made, ISO 8601. */
  created_at: string;
  operator_name: string;
  oversight_mode: Mode;
  reputation_hash: string;
  /** Base URL of the Postern that signs. */
  service: string;
  tenant_id: string;
  /** Whether the operator has proved that the domain in From is theirs. */
  verified_operator: boolean;
}

export interface ApprovalClaim {
  at: string;
  by: 'person' | 'allowlist';
  /** The approval's id; null for the allowlist. */
  ref: string | null;
}

/** The members of X-MultiMail-Identity. A verify link has neither `approval` nor `body_hash`. */
export interface Claims extends Bound, SenderClaims {
  approval?: ApprovalClaim | null;
  /** Base64 SHA-256 of the body, relaxed: what DKIM has as `bh=`. */
  body_hash?: string;
  /** Unix seconds. */
  iat: number;
  v: 1;
}

const ADDRESSES = 1000;
const DECODED_CHARACTERS = 8192; // as far as decodeWords reads

/**
 * Whether a header field, by its name in lower case, says what only Postern says of mail on its way out. Mail from
 * others keeps such fields: there they are somebody else's word, which can be checked.
 */
export function isMark(name: string): boolean {
  return name.startsWith('x-multimail-') || name === 'x-ai-generated' || name === 'x-agent-identity';
}

/** The token of a message about to be handed over; `block` is the header of `bytes`, which are the stored ones. */
export function signIdentity(
  key: SigningKey,
  { bytes, block }: { bytes: Buffer; block: HeaderBlock },
  sender: SenderClaims,
  approval: ApprovalClaim | null,
  now: Date,
): string {
  const claims: Claims = {
    ...sender,
    ...boundOf(block),
    approval,
    body_hash: bodyHash(bytes.subarray(block.bodyStart)),
    iat: unixSeconds(now),
    v: 1,
  };
  return signToken(claims, key);
}

export interface Draft {
  /** With or without brackets. */
  messageId: string;
  to: readonly string[];
  cc: readonly string[];
  subject: string;
}

/** The token of a link in a message that is being composed: it cannot cover the body that will hold it. */
export function signVerifyLink(key: SigningKey, draft: Draft, sender: SenderClaims, now: Date): string {
  const bound: Bound = {
    mid: bareId(draft.messageId),
    to_hash: recipientsHash([...draft.to, ...draft.cc]),
    subject_hash: subjectHash(draft.subject),
  };
  return signToken({ ...sender, ...bound, iat: unixSeconds(now), v: 1 } satisfies Claims, key);
}

/** What a message's header binds. A field that stands twice binds nothing that was signed: readers see either. */
export function boundOf(block: HeaderBlock): Bound {
  return {
    mid: valuesOf(block, 'message-id').map(bareId).join(' '),
    to_hash: recipientsHash(['to', 'cc'].flatMap((name) => valuesOf(block, name).flatMap(addressesIn))),
    subject_hash: subjectHash(valuesOf(block, 'subject').map(decoded).join('\n')),
  };
}

/** The domain of the author as readers see it; null unless there is exactly one. */
export function authorDomain(block: HeaderBlock): string | null {
  const authors = valuesOf(block, 'from').flatMap(addressesIn);
  return authors.length === 1 ? domainOf(authors[0]!) : null;
}

function valuesOf(block: HeaderBlock, wanted: string): string[] {
  return block.fields.filter(({ name }) => name === wanted).map((field) => rawValue(block, field));
}

/** What cannot be read is taken as it stands, so that nothing can be added to a list unseen. */
function addressesIn(value: string): string[] {
  const { addresses, faults, tooMany } = parseAddressList(fromLatin1(value), ADDRESSES);
  const read = addresses.map(({ address }) => address);
  return faults.length > 0 || tooMany ? [...read, value] : read;
}

export function recipientsHash(addresses: readonly string[]): string {
  return hash(
    'sha256',
    addresses
      .map((address) => address.toLowerCase())
      .sort()
      .join('\n'),
  );
}

export function subjectHash(subject: string): string {
  return hash('sha256', subject.normalize('NFC'));
}

export function bareId(messageId: string): string {
  return messageId.trim().replace(/^<|>$/g, '');
}

/**
 * The account under an installation's secret: who sees it twice knows that it is the same account, and nothing
 * else about it.
 */
export function reputationHash(accountId: string, secret: Buffer): string {
  return createHmac('sha256', secret).update(`reputation:${accountId}`).digest('hex');
}

/** Decoded to its end: what is too long to be looked through for encoded words is taken as it stands. */
function decoded(value: string): string {
  const text = fromLatin1(value);
  return decodeWords(text) + (text.includes('=?') ? text.slice(DECODED_CHARACTERS) : '');
}

function unixSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1000);
}
