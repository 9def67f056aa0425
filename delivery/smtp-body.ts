/**
 * A message as the pieces that cross the wire after 354: dots stuffed (RFC 5321 §4.5.2), the last line ended,
 * the final dot apart, because the moment it leaves decides whether a broken connection leaves us in doubt.
 */
const CRLF_DOT = Buffer.from('\r\n.');
const DOT = Buffer.from('.');
const END = Buffer.from('.\r\n');
const LINE_AND_END = Buffer.from('\r\n.\r\n');

/** Slices of `bytes` with a dot between them wherever a line begins with one; nothing is copied. */
export function stuffed(bytes: Buffer): Buffer[] {
  const pieces: Buffer[] = bytes[0] === 0x2e ? [DOT] : [];
  let from = 0;
  for (let at = bytes.indexOf(CRLF_DOT); at !== -1; at = bytes.indexOf(CRLF_DOT, at + 2)) {
    pieces.push(bytes.subarray(from, at + 2), DOT);
    from = at + 2;
  }
  pieces.push(from === 0 ? bytes : bytes.subarray(from));
  return pieces;
}

/** What ends DATA after these bytes. */
export function finalDot(bytes: Buffer): Buffer {
  const ended = bytes.length === 0 || (bytes.at(-1) === 0x0a && bytes.at(-2) === 0x0d);
  return ended ? END : LINE_AND_END;
}

/** The pieces cut and gathered into loads of about `octets`, so that each may wait for the socket. */
export function* loads(pieces: readonly Buffer[], octets: number): Generator<Buffer[]> {
  let load: Buffer[] = [];
  let size = 0;
  for (const piece of pieces) {
    for (let from = 0; from < piece.length; from += octets) {
      const part = piece.subarray(from, from + octets);
      load.push(part);
      size += part.length;
      if (size < octets) continue;
      yield load;
      load = [];
      size = 0;
    }
  }
  if (load.length > 0) yield load;
}
