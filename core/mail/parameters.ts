/**
 * A structured field with parameters (RFC 2045 §5.1, RFC 2183), as mail has it and not only as it should be:
 *
 *   attachment; filename="a.pdf"                      quoted, or a token
 *   attachment; filename*=utf-8'en'na%C3%AFve.txt     RFC 2231 §4: charset and percent signs
 *   attachment; filename*0*=utf-8''na%C3; filename*1*=%AF.txt; filename*2="ve"    §3: in pieces
 *   attachment; filename="=?utf-8?q?na=C3=AFve?="     forbidden by RFC 2047 §5, and everywhere
 */
import { decodeCharset, decodeWords, fromLatin1 } from './encoded-word.ts';

export interface Structured {
  /** What stands before the first semicolon, in lower case. */
  value: string;
  /** Decoded, by name in lower case. May hold any character: clean a value before use. */
  parameters: Map<string, string>;
}

const READ_CHARACTERS = 8192;
const PARAMETERS = 64;
const PIECES = 64;

/** Reads an unfolded value in latin1. Never throws; what cannot be read is left out. */
export function readStructured(value: string): Structured {
  const text = value.slice(0, READ_CHARACTERS);
  const written = new Map<string, string>();
  const first = textUntil(text, 0);
  for (let at = first.end; at < text.length && written.size < PARAMETERS; ) {
    const next = textUntil(text, at + 1);
    const equals = next.text.indexOf('=');
    const name = next.text.slice(0, Math.max(0, equals)).trim().toLowerCase();
    // The first of two equal ones: the second would be a way to say two things.
    if (name !== '' && !written.has(name)) written.set(name, next.text.slice(equals + 1).trim());
    at = next.end;
  }
  return { value: withoutComments(first.text).trim().toLowerCase(), parameters: joined(written) };
}

/** Up to the next semicolon outside quotes. */
function textUntil(text: string, from: number): { text: string; end: number } {
  let quoted = false;
  let at = from;
  for (; at < text.length; at++) {
    const char = text[at];
    if (char === '"') quoted = !quoted;
    else if (char === '\\' && quoted) at += 1;
    else if (char === ';' && !quoted) break;
  }
  return { text: text.slice(from, at), end: at };
}

function withoutComments(text: string): string {
  const open = text.indexOf('(');
  return open === -1 ? text : text.slice(0, open);
}

/** `name`, `name*` and `name*0*`, `name*1` … as one value each; the extended forms go before the plain one. */
function joined(written: Map<string, string>): Map<string, string> {
  const result = new Map<string, string>();
  for (const [name, value] of written) {
    const star = name.indexOf('*');
    const base = star === -1 ? name : name.slice(0, star);
    const form = star === -1 ? '' : name.slice(star);
    if (form === '') {
      if (!result.has(base)) result.set(base, decodeWords(fromLatin1(unquoted(value))));
    } else if (form === '*') result.set(base, extended([{ value: unquoted(value), encoded: true }]));
    else if (form === '*0' || form === '*0*')
      if (!written.has(`${base}*`)) result.set(base, extended(piecesOf(written, base)));
  }
  return result;
}

interface Piece {
  value: string;
  encoded: boolean;
}

function piecesOf(written: Map<string, string>, base: string): Piece[] {
  const pieces: Piece[] = [];
  for (let n = 0; n < PIECES; n++) {
    const encoded = written.get(`${base}*${n}*`);
    const plain = written.get(`${base}*${n}`);
    const value = encoded ?? plain;
    if (value === undefined) break;
    pieces.push({ value: unquoted(value), encoded: encoded !== undefined });
  }
  return pieces;
}

/** The charset stands in the first piece and counts for all; bytes are joined before they are decoded. */
function extended(pieces: Piece[]): string {
  const first = pieces[0];
  if (first === undefined) return '';
  if (!first.encoded) {
    const whole = pieces.map(({ value, encoded }) => (encoded ? unescaped(value) : value)).join('');
    return decodeWords(fromLatin1(whole));
  }
  const [charset, language, ...rest] = first.value.split("'");
  const marked = rest.length > 0 && language !== undefined;
  const values = [{ value: marked ? rest.join("'") : first.value, encoded: true }, ...pieces.slice(1)];
  const latin1 = values.map(({ value, encoded }) => (encoded ? unescaped(value) : value)).join('');
  if (!marked || charset === '') return fromLatin1(latin1);
  return decodeCharset(charset!.toLowerCase(), Buffer.from(latin1, 'latin1'));
}

function unescaped(value: string): string {
  return value.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

function unquoted(value: string): string {
  if (!value.startsWith('"')) return withoutComments(value).trim();
  const end = value.lastIndexOf('"');
  return value.slice(1, end > 0 ? end : value.length).replace(/\\(.)/g, '$1');
}
