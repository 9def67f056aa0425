/**
 * The hash of a body as DKIM takes it, canonicalised "relaxed" (RFC 6376 §3.4.4): white space within a line is one
 * space, at the end of a line none, and empty lines at the end of the body do not count. What relays may do to a
 * body on its way leaves it as it was.
 *
 * Runs over every message that leaves: what is canonical already is hashed where it lies.
 */
import { createHash, hash } from 'node:crypto';

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const SLICE = 1 << 16;
const END = Buffer.from('\r\n');

/** SHA-256 in base64, as `bh=` has it. Lines end in CRLF. */
export function bodyHash(body: Buffer): string {
  const text = body.subarray(0, endOfText(body));
  if (text.length === 0) return hash('sha256', '', 'base64');
  const sha = createHash('sha256');
  for (let from = 0; from < text.length; ) {
    const to = endOfSlice(text, from);
    const slice = text.subarray(from, to);
    sha.update(isRelaxed(slice) ? slice : relaxed(slice));
    from = to;
  }
  return sha.update(END).digest('base64');
}

/** Behind the last byte that is neither white space nor a line end: the rest counts as one line end. */
function endOfText(body: Buffer): number {
  let end = body.length;
  while (end > 0 && isBlank(body[end - 1]!)) end -= 1;
  return end;
}

/** Slices are cut behind a byte of text, so that no run of white space lies in two. */
function endOfSlice(text: Buffer, from: number): number {
  let end = Math.min(from + SLICE, text.length);
  while (end < text.length && isBlank(text[end - 1]!)) end += 1;
  return end;
}

function isBlank(byte: number): boolean {
  return byte === SPACE || byte === TAB || byte === LF || byte === CR;
}

function isRelaxed(slice: Buffer): boolean {
  for (let at = 0; at < slice.length; at++) {
    const byte = slice[at]!;
    if (byte > SPACE) continue;
    if (byte === TAB) return false;
    if (byte === SPACE && isBlank(slice[at + 1]!)) return false;
  }
  return true;
}

function relaxed(slice: Buffer): Buffer {
  const out = Buffer.allocUnsafe(slice.length);
  let size = 0;
  let space = false;
  for (let at = 0; at < slice.length; at++) {
    const byte = slice[at]!;
    if (byte === SPACE || byte === TAB) {
      space = true;
      continue;
    }
    if (space && byte !== CR) out[size++] = SPACE;
    space = false;
    out[size++] = byte;
  }
  return out.subarray(0, size);
}
