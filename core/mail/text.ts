/** Strangers' words made safe to store, log and show. */

const READ_CHARACTERS = 8192;
// Controls, lone surrogates (PostgreSQL's jsonb takes neither), separators of lines, and what turns the
// direction of the text around them. Joiners stay: emoji and Indic scripts need them.
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+/gu;

/** One line of at most `octets` octets of UTF-8, without control or direction-changing characters. */
export function oneLine(text: string, octets: number): string {
  const read = text.length > READ_CHARACTERS ? text.slice(0, READ_CHARACTERS) : text;
  const clean = read.replace(UNPRINTABLE, ' ').replace(/ {2,}/g, ' ').trim();
  if (clean.length * 3 <= octets || Buffer.byteLength(clean) <= octets) return clean;
  let cut = Buffer.from(clean)
    .subarray(0, octets - 3)
    .toString();
  while (cut.endsWith('\ufffd')) cut = cut.slice(0, -1); // a character cut in two
  return `${cut}…`;
}

/** A time in a sentence for people: `2026-11-21 07:40:12Z`. */
export function plainTime(time: Date): string {
  return time
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

/** Whether every character is ASCII. */
export function isAsciiText(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}
