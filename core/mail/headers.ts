/**
 * The header block of a message, found and cut into fields, and nothing more.
 *
 *   Name: value CRLF            one field: start … end, its continuation lines included
 *    continued CRLF
 *   CRLF                        the header ends here; the body begins
 *
 * Runs at the door on every message, so it makes one string and some offsets. It never throws:
 * what is wrong is said in `faults`, and the fields that could be read are there all the same.
 */
import { REFUSALS, type Reply } from './reply.ts';

export interface Field {
  /** In lower case, without the white space some put before the colon. */
  name: string;
  /** Offsets in the raw message: the whole field with its last CRLF … */
  start: number;
  end: number;
  /** … and the value behind the colon. */
  valueStart: number;
}

export type HeaderFault =
  | 'noColon'
  | 'startsWithSpace'
  | 'emptyName'
  | 'badName'
  | 'spaceBeforeColon'
  | 'tooLarge'
  | 'tooMany';

export interface HeaderBlock {
  /** The header as latin1 text: offsets in it are offsets in the message. */
  text: string;
  fields: Field[];
  /** Where the body begins; the length of the message when it has none. */
  bodyStart: number;
  faults: HeaderFault[];
}

export interface HeaderLimits {
  bytes: number;
  fields: number;
}

export const HEADER_LIMITS: HeaderLimits = { bytes: 262_144, fields: 1000 };

const NAME = /^[!-9;-~]+$/; // RFC 5322 §3.6.8

/** Reads the header block; lines end in CRLF only, as checked on the wire. */
export function parseHeaders(raw: Buffer, limits: HeaderLimits = HEADER_LIMITS): HeaderBlock {
  const { end, bodyStart } = endOfHeader(raw, limits.bytes);
  const tooLarge = end > limits.bytes;
  const text = raw.toString('latin1', 0, tooLarge ? limits.bytes : end);
  const faults = new Set<HeaderFault>(tooLarge ? ['tooLarge'] : []);
  const fields: Field[] = [];
  for (let start = 0; start < text.length; ) {
    const end = endOfField(text, start);
    const field = readField(text, start, end, faults);
    if (field !== undefined) fields.push(field);
    if (fields.length > limits.fields) {
      faults.add('tooMany');
      break;
    }
    start = end;
  }
  return { text, fields, bodyStart, faults: [...faults] };
}

/** The value of a field as it stands, unfolded (RFC 5322 §2.2.3), in latin1. */
export function rawValue(block: HeaderBlock, field: Field): string {
  const value = block.text.slice(field.valueStart, field.end);
  return (value.includes('\r\n') ? value.replaceAll('\r\n', '') : value).trim();
}

/** What we answer to a header with these faults. White space before a colon is only refused where `strict`. */
export function headerRefusal(
  faults: readonly HeaderFault[],
  { strict }: { strict: boolean },
): Reply | undefined {
  if (faults.includes('tooLarge')) return REFUSALS.headerTooLarge;
  if (faults.includes('tooMany')) return REFUSALS.tooManyHeaders;
  const bad = faults.filter((fault) => strict || fault !== 'spaceBeforeColon');
  return bad.length > 0 ? REFUSALS.badHeader : undefined;
}

function endOfHeader(raw: Buffer, limit: number): { end: number; bodyStart: number } {
  if (raw[0] === 0x0d && raw[1] === 0x0a) return { end: 0, bodyStart: 2 };
  const blank = raw.subarray(0, limit + 4).indexOf('\r\n\r\n', 0, 'latin1');
  if (blank !== -1) return { end: blank + 2, bodyStart: blank + 4 };
  return { end: raw.length, bodyStart: raw.length };
}

/** Behind the CRLF that no space or tab follows. */
function endOfField(text: string, start: number): number {
  for (let at = start; ; ) {
    const crlf = text.indexOf('\r\n', at);
    if (crlf === -1) return text.length;
    at = crlf + 2;
    if (!isSpace(text.charCodeAt(at))) return at;
  }
}

function readField(text: string, start: number, end: number, faults: Set<HeaderFault>): Field | undefined {
  // Only the first field can begin so: elsewhere it would continue the one before.
  if (isSpace(text.charCodeAt(start))) return void faults.add('startsWithSpace');
  const colon = text.indexOf(':', start);
  if (colon === -1 || colon >= end) return void faults.add('noColon');
  const written = text.slice(start, colon);
  const name = written.trimEnd();
  if (name === '') return void faults.add('emptyName');
  if (!NAME.test(name)) return void faults.add('badName');
  if (name !== written) faults.add('spaceBeforeColon');
  return { name: name.toLowerCase(), start, end, valueStart: colon + 1 };
}

function isSpace(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
