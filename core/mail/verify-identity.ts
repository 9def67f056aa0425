/** Whether what stands in X-MultiMail-Identity holds, and whether it speaks of the message it was found in. */
import type { KeyObject } from 'node:crypto';
import { bodyHash } from './body-hash.ts';
import { type HeaderBlock, parseHeaders, rawValue } from './headers.ts';
import { bareId, boundOf, recipientsHash, subjectHash } from './identity.ts';
import { type Payload, readToken } from './token.ts';

/** A key that a token may be checked by. */
export interface TrustedKey {
  key: KeyObject;
  /** Tokens signed later are not taken; null while it is current. */
  notAfter: Date | null;
  /** Base URL of the one it belongs to, who speaks for nobody else; null for our own. */
  service: string | null;
}

export type KeyRing = (kid: string) => TrustedKey | undefined;

/** Each is null where there was nothing to compare. */
export interface BoundChecks {
  message_id: boolean | null;
  recipients: boolean | null;
  subject: boolean | null;
  body: boolean | null;
}

export interface Verdict {
  valid: boolean;
  /** Why not; null when it holds. */
  reason: string | null;
  /** The key is none of those we have, so nobody here can tell. */
  unknownKey: boolean;
  kid: string | null;
  /** What the token says. Believe it only where it is valid. */
  payload: Payload | null;
  bound: BoundChecks;
}

/** What is known of a message beside the token. */
export interface Given {
  messageId?: string | undefined;
  /** To and Cc. */
  recipients?: readonly string[] | undefined;
  subject?: string | undefined;
}

const FIELD = 'x-multimail-identity';
const NOTHING: BoundChecks = { message_id: null, recipients: null, subject: null, body: null };
const REASONS = {
  none: 'The message has no X-MultiMail-Identity.',
  several: 'The message has more than one X-MultiMail-Identity.',
  form: 'This is not a token.',
  key: 'It names a key that is not known here.',
  signature: 'The signature does not match: something was changed.',
  members: 'The token is genuine, but it is not the identity of a message.',
  link: 'The token is of a verify link and covers no body: it stands for no message.',
  retired: 'It was signed after its key was retired.',
  service: 'The key belongs to somebody other than the token says.',
} as const;

/** Checks a token by itself, and against what is known of the message. */
export function verifyIdentity(token: string, keys: KeyRing, given: Given = {}): Verdict {
  const verdict = readIdentity(token, keys);
  const { payload } = verdict;
  if (payload === null) return verdict;
  const { messageId, recipients, subject } = given;
  const bound: BoundChecks = {
    message_id: messageId === undefined ? null : bareId(messageId) === payload.mid,
    recipients: recipients === undefined ? null : recipientsHash(recipients) === payload.to_hash,
    subject: subject === undefined ? null : subjectHash(subject) === payload.subject_hash,
    body: null,
  };
  return { ...verdict, bound };
}

/** Checks a whole message, lines ended by CRLF. */
export function verifyMessage(
  bytes: Buffer,
  keys: KeyRing,
  block: HeaderBlock = parseHeaders(bytes),
): Verdict {
  const fields = identityFields(block);
  const [token] = fields;
  if (token === undefined) return refused('none');
  if (fields.length > 1) return refused('several');
  const verdict = readIdentity(token, keys);
  const { payload } = verdict;
  if (payload === null) return verdict;
  const found = boundOf(block);
  const bound: BoundChecks = {
    message_id: found.mid === payload.mid,
    recipients: found.to_hash === payload.to_hash,
    subject: found.subject_hash === payload.subject_hash,
    body:
      payload.body_hash === undefined
        ? null
        : bodyHash(bytes.subarray(block.bodyStart)) === payload.body_hash,
  };
  const isLink = verdict.valid && bound.body === null;
  return { ...verdict, ...(isLink && { valid: false, reason: REASONS.link }), bound };
}

export function hasIdentity(block: HeaderBlock): boolean {
  return block.fields.some(({ name }) => name === FIELD);
}

function identityFields(block: HeaderBlock): string[] {
  return block.fields.filter(({ name }) => name === FIELD).map((field) => rawValue(block, field));
}

function readIdentity(token: string, keys: KeyRing): Verdict {
  const known = new Map<string, TrustedKey>();
  const read = readToken(token, (kid) => {
    const found = keys(kid);
    if (found !== undefined) known.set(kid, found);
    return found?.key;
  });
  if (read === undefined) return refused('form');
  const { payload, kid, signature } = read;
  const said = { kid, payload, bound: NOTHING, unknownKey: signature === 'unknown_key' };
  if (signature !== 'valid')
    return { ...said, valid: false, reason: REASONS[signature === 'invalid' ? 'signature' : 'key'] };
  const fault = faultOf(payload, known.get(kid!)!);
  return { ...said, valid: fault === undefined, reason: fault === undefined ? null : REASONS[fault] };
}

/** The signature holds; what remains is whether the key may say this. */
function faultOf(payload: Payload, { notAfter, service }: TrustedKey): keyof typeof REASONS | undefined {
  const { v, ai_generated, mid, to_hash, subject_hash, iat } = payload;
  const texts = [mid, to_hash, subject_hash].every((one) => typeof one === 'string');
  if (v !== 1 || typeof ai_generated !== 'boolean' || typeof iat !== 'number' || !texts) return 'members';
  if (service !== null && payload.service !== service) return 'service';
  return notAfter !== null && iat * 1000 > notAfter.getTime() ? 'retired' : undefined;
}

function refused(reason: keyof typeof REASONS): Verdict {
  return {
    valid: false,
    reason: REASONS[reason],
    unknownKey: false,
    kid: null,
    payload: null,
    bound: NOTHING,
  };
}
