/** Header fields as they are written: 7 bit, folded, and never more than the one field that was meant. */
import { isAsciiText } from '../mail/text.ts';

const LINE = 76;
// A word of an encoded text then has 64 characters of the 75 it may have (RFC 2047 §2), beside any field name of ours.
const WORD_OCTETS = 39;

/** `Name: value`, with its CRLF. A line break in the value would begin another field: it is an error here. */
export function field(name: string, value: string): string {
  if (/[\r\n\0]/.test(value.replace(/\r\n[ \t]/g, ''))) throw new Error(`a line break in ${name}`);
  return `${name}: ${value}\r\n`;
}

/** Free text, as in Subject: as it is where it can stand so and be read back the same, else in encoded words. */
export function textField(name: string, text: string): string {
  return field(name, isPlain(text) ? fold(text, name.length + 2) : encodedWords(text));
}

/** A list of addresses, one a line. */
export function addressField(name: string, addresses: string[]): string {
  return field(name, addresses.join(',\r\n '));
}

/** A display name with its address. */
export function mailbox(name: string | null, address: string): string {
  if (name === null || name.trim() === '') return address;
  const plain = isAsciiText(name) && name.length <= 60 && !name.includes('=?');
  const phrase = plain ? `"${name.replace(/["\\]/g, '\\$&')}"` : encodedWords(name);
  return `${phrase}\r\n <${address}>`;
}

/** `; name=value` in as many continuations as it needs (RFC 2231 §3, §4); each on a line of its own. */
export function parameter(name: string, value: string): string {
  if (/^[\x20-\x7e]{0,60}$/.test(value)) return `;\r\n ${name}="${value.replace(/["\\]/g, '\\$&')}"`;
  const pieces: string[] = [];
  let piece = "utf-8''";
  for (const character of value) {
    const spelled = percent(character);
    if (piece.length + spelled.length > 60) {
      pieces.push(piece);
      piece = '';
    }
    piece += spelled;
  }
  pieces.push(piece);
  if (pieces.length === 1) return `;\r\n ${name}*=${pieces[0]}`;
  return pieces.map((text, n) => `;\r\n ${name}*${n}*=${text}`).join('');
}

function percent(character: string): string {
  if (/^[A-Za-z0-9._-]$/.test(character)) return character;
  const octets = [...Buffer.from(character)];
  return octets.map((octet) => `%${octet.toString(16).toUpperCase().padStart(2, '0')}`).join('');
}

/** Words that fit a line, one blank between any two: what unfolds to the same text. */
function isPlain(text: string): boolean {
  return /^(?:[!-~]{1,60}(?: [!-~]{1,60})*)?$/.test(text) && !text.includes('=?');
}

function fold(text: string, used: number): string {
  let line = used;
  return text.replace(/ ?[^ ]+/g, (word) => {
    if (line + word.length <= LINE || line === used) {
      line += word.length;
      return word;
    }
    line = word.length;
    return `\r\n${word}`;
  });
}

/** RFC 2047, no character cut in two. */
function encodedWords(text: string): string {
  const words: string[] = [];
  let word = '';
  let octets = 0;
  for (const character of text) {
    const more = Buffer.byteLength(character);
    if (octets + more > WORD_OCTETS) {
      words.push(word);
      word = '';
      octets = 0;
    }
    word += character;
    octets += more;
  }
  words.push(word);
  return words.map((one) => `=?utf-8?B?${Buffer.from(one).toString('base64')}?=`).join('\r\n ');
}
