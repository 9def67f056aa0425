/** Names of files that come with mail: a stranger's words that somebody will save a file under. */

const OCTETS = 255;
// What leads to another folder, ends a line, turns the direction of text, or is no character.
const UNFIT = /[/\\\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}\u200b\u2060\ufeff]/gu;

const ENDINGS: Record<string, string> = {
  'application/pdf': 'pdf',
  'application/zip': 'zip',
  'application/json': 'json',
  'application/pgp-signature': 'asc',
  'application/pkcs7-signature': 'p7s',
  'image/png': 'png',
  'image/jpeg': 'jpg',
  'image/gif': 'gif',
  'message/rfc822': 'eml',
  'text/plain': 'txt',
  'text/html': 'html',
  'text/csv': 'csv',
  'text/calendar': 'ics',
};

/** The name as a file may bear it: no folders, no control or direction characters, at most 255 octets. */
export function cleanFileName(name: string): string {
  const clean = name.slice(0, 4096).replace(UNFIT, '_').trim();
  return cut(/^\.*$/.test(clean) ? '_'.repeat(Math.max(1, Math.min(clean.length, 2))) : clean, OCTETS);
}

/** What a part without a name is called. */
export function unnamed(type: string, place: number): string {
  const ending = Object.hasOwn(ENDINGS, type) ? ENDINGS[type] : 'bin';
  return `attachment-${place}.${ending}`;
}

/** A name that none of `taken` has: the second `a.pdf` is `a (2).pdf`. Adds it to them. */
export function distinctName(name: string, taken: Set<string>): string {
  let free = name;
  for (let n = 2; taken.has(free); n++) free = numbered(name, n);
  taken.add(free);
  return free;
}

function numbered(name: string, n: number): string {
  const dot = name.lastIndexOf('.');
  const ending = dot > 0 && name.length - dot <= 16 ? name.slice(dot) : '';
  const mark = ` (${n})${ending}`;
  return cut(name.slice(0, name.length - ending.length), OCTETS - Buffer.byteLength(mark)) + mark;
}

/** At most so many octets of UTF-8, ending with a whole character. */
function cut(text: string, octets: number): string {
  if (Buffer.byteLength(text) <= octets) return text;
  const short = Buffer.from(text).subarray(0, octets).toString();
  return short.replace(/\ufffd+$/, '');
}
