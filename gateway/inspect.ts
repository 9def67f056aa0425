/**
 * Everything a message must be before it is taken, apart from who may send it: its lines, its header, its
 * trace. Pure; reads the header once.
 */
import { type Facts, readFacts } from '../core/mail/facts.ts';
import { type Field, type HeaderBlock, headerRefusal, parseHeaders, rawValue } from '../core/mail/headers.ts';
import { REFUSALS, type Reply } from '../core/mail/reply.ts';
import { checkLineEndings, normalise, wireRefusal } from '../core/mail/wire.ts';

export interface InspectionRules {
  hostname: string;
  limits: { line_bytes: number; header_bytes: number; received_headers: number };
  /**
   * `submission`: our own client, who can be told what to mend. `legacy`: an appliance that cannot, so bare
   * line endings are repaired. `stranger`: someone else's mail, which is judged and not corrected.
   */
  sender: 'submission' | 'legacy' | 'stranger';
  smtputf8: boolean;
}

export interface Inspected {
  raw: Buffer;
  block: HeaderBlock;
  facts: Facts;
}

/** Fields of one of our own hosts after which a message has been here too often. */
const OUR_RECEIVED = 3;
const FIELDS = 1000;

export function inspect(received: Buffer, rules: InspectionRules): Inspected | Reply {
  const raw = rules.sender === 'legacy' ? normalise(received) : received;
  const { limits } = rules;
  // line_bytes counts the CRLF
  const refusal = wireRefusal(checkLineEndings(raw), { lineBytes: limits.line_bytes - 2 });
  if (refusal !== undefined) return refusal;
  const block = parseHeaders(raw, { bytes: limits.header_bytes, fields: FIELDS });
  const bad = headerRefusal(block.faults, { strict: rules.sender === 'submission' });
  if (bad !== undefined) return bad;
  const facts = readFacts(raw, { hostname: rules.hostname, block });
  return headerFault(facts, rules) ?? { raw, block, facts };
}

function headerFault(facts: Facts, { sender, smtputf8, limits }: InspectionRules): Reply | undefined {
  if (facts.tooManyAddresses) return REFUSALS.tooManyAddresses;
  if (facts.receivedCount > limits.received_headers || facts.ourReceivedCount >= OUR_RECEIVED)
    return REFUSALS.loop;
  if (sender === 'stranger') return undefined;
  if (facts.duplicates.includes('from')) return REFUSALS.multipleFrom;
  if (facts.duplicates.length > 0) return REFUSALS.duplicateHeader;
  if (facts.unreadable.includes('from') || facts.hasGroup.includes('from')) return REFUSALS.badFrom;
  if (facts.from.length !== 1) return facts.from.length === 0 ? REFUSALS.noFrom : REFUSALS.multipleFrom;
  if (facts.unreadable.includes('sender')) return REFUSALS.badFrom;
  // RFC 6531 §3.6: whoever takes it next would have to be told, and was not.
  if (sender === 'submission' && facts.has8bitHeader && !smtputf8) return REFUSALS.needsSmtputf8;
  return undefined;
}

/**
 * Whether the field claims what only we may say: where the mail's return path is (RFC 5321 §4.4), or how our
 * own checks came out (RFC 8601 §5).
 */
export function isForged(block: HeaderBlock, field: Field, hostname: string): boolean {
  if (field.name === 'return-path') return true;
  if (field.name !== 'authentication-results') return false;
  const [id = ''] = rawValue(block, field).split(/[\s;(]/, 1);
  return id.toLowerCase() === hostname.toLowerCase();
}
