/** What was asked for, as one number: so that a repeat is told from another request. */
import { createHash } from 'node:crypto';

/** Members that say how a request is made, not what it asks for. */
const NO_PART = new Set(['idempotency_key', 'approval_code']);

/** SHA-256 over a request as it was read, whatever the order of its members. */
export function fingerprintOf(input: Record<string, unknown>): Buffer {
  const asked = Object.fromEntries(Object.entries(input).filter(([name]) => !NO_PART.has(name)));
  return createHash('sha256').update(canonicalJson(asked)).digest();
}

/** JSON with sorted names; bytes stand as their own digest. */
export function canonicalJson(value: unknown): string {
  if (Buffer.isBuffer(value)) return `{"bytes":"${createHash('sha256').update(value).digest('hex')}"}`;
  if (value instanceof Date) return JSON.stringify(value);
  if (Array.isArray(value))
    return `[${value.map((one) => (one === undefined ? 'null' : canonicalJson(one))).join()}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null';
  const members = Object.entries(value)
    .filter(([, child]) => child !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, child]) => `${JSON.stringify(name)}:${canonicalJson(child)}`);
  return `{${members.join()}}`;
}
