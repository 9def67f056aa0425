/**
 * The parts of a message (RFC 2045, RFC 2046), found without decoding any of them.
 *
 *   multipart/mixed
 *     ├─ multipart/alternative     group 1: one of its texts says it all
 *     │    ├─ text/plain           ─▶ texts
 *     │    └─ text/html            ─▶ texts
 *     └─ application/pdf           ─▶ attachments
 *
 * Places are counted from the end of the message: its header may be edited between the door and the store, its
 * body never is. A message inside a message is one attachment and is not looked into. Runs at the door, so it
 * searches for delimiters and never reads line by line; and hostile bytes cost no more than others: depth, parts,
 * near misses and bytes searched are bounded, and where a bound is met the rest of the part is left alone.
 */
import { cleanFileName, distinctName, unnamed } from './attachment-name.ts';
import { decodedSize, type Encoding, encodingOf } from './decoded-size.ts';
import { type HeaderBlock, parseHeaders, rawValue } from './headers.ts';
import { readStructured, type Structured } from './parameters.ts';

interface Part {
  encoding: Encoding;
  /** Distances of its body's first byte, and of the byte behind it, from the end of the message. */
  from: number;
  to: number;
}

export interface AttachmentPart extends Part {
  /** Fit for a file, and of one attachment only. */
  name: string;
  type: string;
  /** Of text. */
  charset?: string;
  /** Decoded, in bytes. */
  size: number;
  disposition: 'attachment' | 'inline' | null;
}

export interface TextPart extends Part {
  type: 'text/plain' | 'text/html';
  charset: string | null;
  /** RFC 3676: lines that a trailing space joins; and whether the space goes as well. */
  flowed?: 'flowed' | 'delsp';
  /** Texts with the same number say the same: one of them is enough (RFC 2046 §5.1.4). */
  group?: number;
}

export interface Structure {
  attachments: AttachmentPart[];
  texts: TextPart[];
}

const DEPTH = 10;
const PARTS = 256;
const BOUNDARY = 200; // RFC 2046 §5.1.1 says 70; senders differ
const NEAR_MISSES = 10_000;
const PART_HEADER = { bytes: 16_384, fields: 100 };

interface Walk {
  raw: Buffer;
  found: Structure;
  names: Set<string>;
  parts: number;
  misses: number;
  /** Bytes that may still be searched: each level of nesting searches its part once more. */
  budget: number;
  groups: number;
}

/** Reads the structure; `block` is the header as parsed. Never throws. */
export function readStructure(raw: Buffer, block: HeaderBlock): Structure {
  const walk: Walk = {
    raw,
    found: { attachments: [], texts: [] },
    names: new Set(),
    parts: 0,
    misses: 0,
    budget: 4 * raw.length + 65_536,
    groups: 0,
  };
  visit(walk, { block, from: block.bodyStart, to: raw.length, depth: 0, inDigest: false });
  return walk.found;
}

/** Whether the message is one text and nothing else, as its header says: then there is no structure to keep. */
export function isPlainMail(block: HeaderBlock): boolean {
  const { type, name, disposition } = describe(block, false);
  return isText(type.value) && name === undefined && disposition !== 'attachment';
}

interface Place {
  block: HeaderBlock;
  from: number;
  to: number;
  depth: number;
  inDigest: boolean;
  group?: number;
}

function visit(walk: Walk, place: Place): void {
  const about = describe(place.block, place.inDigest);
  const boundary = about.type.parameters.get('boundary');
  if (about.type.value.startsWith('multipart/') && boundary !== undefined && place.depth < DEPTH) {
    if (enter(walk, place, about.type, boundary)) return;
  }
  walk.parts += 1;
  if (walk.parts > PARTS) return;
  keep(walk, place, about);
}

/** False when no delimiter of it can be found: then the part is one of bytes, like any other. */
function enter(walk: Walk, place: Place, type: Structured, boundary: string): boolean {
  if (boundary === '' || boundary.length > BOUNDARY) return false;
  const pieces = cutAt(walk, Buffer.from(`--${boundary.trimEnd()}`, 'latin1'), place.from, place.to);
  const alternative = type.value === 'multipart/alternative' && place.group === undefined;
  if (alternative) walk.groups += 1;
  const group = alternative ? walk.groups : place.group;
  for (const { from, to } of pieces) {
    const block = parseHeaders(walk.raw.subarray(from, to), PART_HEADER);
    visit(walk, {
      block,
      from: from + block.bodyStart,
      to,
      depth: place.depth + 1,
      inDigest: type.value === 'multipart/digest',
      ...(group !== undefined && { group }),
    });
    if (walk.parts > PARTS) break;
  }
  return pieces.length > 0;
}

/** What stands between the delimiters (RFC 2046 §5.1.1). The last piece may lack its end. */
function cutAt(walk: Walk, delimiter: Buffer, from: number, to: number): { from: number; to: number }[] {
  const { raw } = walk;
  const pieces: { from: number; to: number }[] = [];
  let open: number | undefined;
  walk.budget -= to - from;
  for (let at = from; walk.budget >= 0 && walk.misses <= NEAR_MISSES && pieces.length <= PARTS; ) {
    const found = raw.subarray(at, to).indexOf(delimiter);
    if (found === -1) break;
    const start = at + found;
    const line = endOfDelimiter(raw, start + delimiter.length, to);
    const beginsLine = start === from || (raw[start - 1] === LF && raw[start - 2] === CR);
    at = start + delimiter.length;
    if (line === undefined || !beginsLine) {
      walk.misses += 1;
      continue;
    }
    // The CRLF before a delimiter is part of it.
    if (open !== undefined) pieces.push({ from: open, to: Math.max(open, start - 2) });
    open = line.closes ? undefined : line.end;
    at = line.end;
    if (line.closes) break;
  }
  if (open !== undefined) pieces.push({ from: open, to });
  return pieces;
}

const CR = 0x0d;
const LF = 0x0a;
const DASH = 0x2d;

/** Behind the line of a delimiter; undefined when more stands there than `--` and white space. */
function endOfDelimiter(raw: Buffer, from: number, to: number): { end: number; closes: boolean } | undefined {
  const closes = raw[from] === DASH && raw[from + 1] === DASH && from + 2 <= to;
  let at = closes ? from + 2 : from;
  while (at < to && at < from + 100 && (raw[at] === 0x20 || raw[at] === 0x09)) at += 1;
  if (at >= to) return { end: to, closes };
  if (raw[at] === CR && raw[at + 1] === LF) return { end: Math.min(to, at + 2), closes };
  return undefined;
}

interface About {
  type: Structured;
  disposition: 'attachment' | 'inline' | null;
  encoding: Encoding;
  name: string | undefined;
}

function describe(block: HeaderBlock, inDigest: boolean): About {
  const first = (name: string) => {
    const field = block.fields.find((one) => one.name === name);
    return field === undefined ? undefined : rawValue(block, field);
  };
  const type = readStructured(first('content-type') ?? (inDigest ? 'message/rfc822' : 'text/plain'));
  // What is no type is treated as the plainest one (RFC 2045 §5.2).
  if (!/^[!-.0-~]+\/[!-.0-~]+$/.test(type.value) || type.value.length > 128) type.value = 'text/plain';
  const disposition = readStructured(first('content-disposition') ?? '');
  const name = disposition.parameters.get('filename') ?? type.parameters.get('name');
  return {
    type,
    encoding: encodingOf(first('content-transfer-encoding')),
    // An unknown disposition counts as an attachment (RFC 2183 §2.8).
    disposition: disposition.value === '' ? null : disposition.value === 'inline' ? 'inline' : 'attachment',
    name: name === undefined || name.trim() === '' ? undefined : name,
  };
}

function keep(walk: Walk, place: Place, about: About): void {
  const { raw, found, names } = walk;
  const { type, disposition, encoding, name } = about;
  const where = { encoding, from: raw.length - place.from, to: raw.length - place.to };
  if (isText(type.value) && disposition !== 'attachment' && name === undefined) {
    found.texts.push({
      type: type.value,
      charset: charsetOf(type),
      ...flowOf(type),
      ...(place.group !== undefined && { group: place.group }),
      ...where,
    });
    return;
  }
  const charset = charsetOf(type);
  const called = name === undefined ? unnamed(type.value, found.attachments.length + 1) : cleanFileName(name);
  found.attachments.push({
    name: distinctName(called, names),
    type: type.value,
    ...(type.value.startsWith('text/') && charset !== null && { charset }),
    size: decodedSize(raw.subarray(place.from, place.to), encoding),
    disposition,
    ...where,
  });
}

function isText(type: string): type is TextPart['type'] {
  return type === 'text/plain' || type === 'text/html';
}

function charsetOf({ parameters }: Structured): string | null {
  const charset = parameters.get('charset')?.trim().toLowerCase();
  return charset !== undefined && /^[a-z0-9._:+-]{1,40}$/.test(charset) ? charset : null;
}

function flowOf({ value, parameters }: Structured): Pick<TextPart, 'flowed'> {
  if (value !== 'text/plain' || parameters.get('format')?.toLowerCase() !== 'flowed') return {};
  return { flowed: parameters.get('delsp')?.toLowerCase() === 'yes' ? 'delsp' : 'flowed' };
}
