/** Header text as people read it: raw UTF-8 (RFC 6532) and encoded words (RFC 2047), in linear time. */
import { isUtf8 } from 'node:buffer';
import { isAsciiText } from './text.ts';

const CHARSET_CHARACTERS = 60;
const WORD_CHARACTERS = 2048; // the RFC says 75; senders differ
const DECODED_CHARACTERS = 8192;

/** Reads latin1 header text as UTF-8 when it is, and leaves it latin1 when it is not. */
export function fromLatin1(text: string): string {
  if (isAsciiText(text)) return text;
  const bytes = Buffer.from(text, 'latin1');
  return isUtf8(bytes) ? bytes.toString('utf8') : text;
}

interface Word {
  charset: string;
  bytes: Buffer;
  end: number;
}

/**
 * Decodes the encoded words of unstructured text or of a phrase. White space between two of them is
 * dropped, and neighbours in one charset are decoded together, since many cut a character in two.
 * What cannot be decoded stays as it is; the result may hold any character, so clean it before use.
 */
export function decodeWords(text: string): string {
  if (!text.includes('=?')) return text;
  const input = text.slice(0, DECODED_CHARACTERS);
  let out = '';
  let pending: { charset: string; parts: Buffer[] } | undefined;
  const flush = () => {
    if (pending !== undefined) out += decodeCharset(pending.charset, Buffer.concat(pending.parts));
    pending = undefined;
  };
  for (let at = 0; at < input.length; ) {
    const found = input.indexOf('=?', at);
    const word = found === -1 ? undefined : wordAt(input, found);
    const end = found === -1 ? input.length : word === undefined ? found + 2 : found;
    const between = input.slice(at, end);
    if (between.trim() !== '' || word === undefined) {
      flush();
      out += between;
    } else if (pending === undefined) out += between;
    if (word === undefined) {
      at = end;
      continue;
    }
    if (pending !== undefined && pending.charset !== word.charset) flush();
    pending ??= { charset: word.charset, parts: [] };
    pending.parts.push(word.bytes);
    at = word.end;
  }
  flush();
  return out;
}

/** `=?charset*language?B?text?=` at this place, each part bounded. */
function wordAt(text: string, start: number): Word | undefined {
  const charsetEnd = text.slice(start + 2, start + 2 + CHARSET_CHARACTERS).indexOf('?') + start + 2;
  if (charsetEnd < start + 3 || text[charsetEnd + 2] !== '?') return undefined;
  const encoding = text[charsetEnd + 1]!.toUpperCase();
  const from = charsetEnd + 3;
  const length = text.slice(from, from + WORD_CHARACTERS).indexOf('?');
  if (length === -1 || text[from + length + 1] !== '=') return undefined;
  const content = text.slice(from, from + length);
  if (/\s/.test(content) || (encoding !== 'B' && encoding !== 'Q')) return undefined;
  const charset = text
    .slice(start + 2, charsetEnd)
    .split('*')[0]!
    .toLowerCase();
  const bytes = encoding === 'B' ? Buffer.from(content, 'base64') : decodeQ(content);
  return { charset, bytes, end: from + length + 2 };
}

function decodeQ(content: string): Buffer {
  const latin1 = content
    .replaceAll('_', ' ')
    .replace(/=([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(latin1, 'latin1');
}

/** Bytes as text. An unknown charset is read as latin1. So is UTF-7, which could hide markup from whoever looks for it. */
export function decodeCharset(charset: string, bytes: Buffer): string {
  try {
    return new TextDecoder(charset).decode(bytes);
  } catch {
    return bytes.toString('latin1');
  }
}
