/**
 * What mail that came in says of its sender, checked once at the door and kept among its facts. It is a stranger's
 * word unless it is valid, so only the members we know are kept, as short and printable text.
 */
import { type HeaderBlock, parseHeaders } from './headers.ts';
import { oneLine } from './text.ts';
import type { Payload } from './token.ts';
import { hasIdentity, type KeyRing, verifyMessage } from './verify-identity.ts';

export interface SenderIdentity {
  /** Whether it holds and speaks of this very message; null when its issuer is unknown here. */
  valid: boolean | null;
  payload: Payload;
}

const MEMBERS = `ai_generated approval body_hash capabilities composer created_at iat kid mid operator_name
  oversight_mode reputation_hash service subject_hash tenant_id to_hash v verified_operator`.split(/\s+/);
const OCTETS = 256;
const LIST = 16;

/** Null when the message says nothing. `block` is its header. */
export function senderIdentity(
  bytes: Buffer,
  keys: KeyRing,
  block: HeaderBlock = parseHeaders(bytes),
): SenderIdentity | null {
  if (!hasIdentity(block)) return null;
  const { valid, unknownKey, payload, bound } = verifyMessage(bytes, keys, block);
  const holds = valid && Object.values(bound).every((one) => one === true);
  return { valid: unknownKey ? null : holds, payload: known(payload ?? {}, MEMBERS) };
}

function known(payload: Payload, members: readonly string[]): Payload {
  const kept: Payload = {};
  for (const name of members) {
    const value = plain(payload[name]);
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

/** Undefined for what no member of ours looks like. */
function plain(value: unknown): unknown {
  if (typeof value === 'string') return oneLine(value, OCTETS);
  if (value === null || typeof value === 'boolean' || Number.isSafeInteger(value)) return value;
  if (Array.isArray(value))
    return value.slice(0, LIST).flatMap((one) => (typeof one === 'string' ? [oneLine(one, OCTETS)] : []));
  // Of an object's members only strings and null are kept: it is no deeper than this.
  if (typeof value === 'object') return known(flat(value as Payload), ['at', 'by', 'ref']);
  return undefined;
}

function flat(value: Payload): Payload {
  return Object.fromEntries(
    Object.entries(value).filter(([, one]) => typeof one === 'string' || one === null),
  );
}
