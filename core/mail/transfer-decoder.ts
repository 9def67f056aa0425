/** Takes a Content-Transfer-Encoding off, piece by piece, so that a large file is never in memory as a whole. */
import type { Encoding } from './decoded-size.ts';

/** The bytes themselves. What is no character of the encoding is passed over, as decoders of mail do. */
export function decoded(pieces: AsyncIterable<Buffer>, encoding: Encoding): AsyncIterable<Buffer> {
  if (encoding === 'identity') return pieces;
  return encoding === 'base64' ? fromBase64(pieces) : fromQuotedPrintable(pieces);
}

async function* fromBase64(pieces: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let left = '';
  for await (const piece of pieces) {
    const text = piece.toString('latin1');
    const padding = text.indexOf('=');
    const digits = left + (padding === -1 ? text : text.slice(0, padding)).replace(/[^A-Za-z0-9+/_-]/g, '');
    const whole = padding === -1 ? digits.length - (digits.length % 4) : digits.length;
    left = digits.slice(whole);
    if (whole > 0) yield Buffer.from(digits.slice(0, whole), 'base64');
    if (padding !== -1) return;
  }
  if (left.length > 1) yield Buffer.from(left, 'base64');
}

async function* fromQuotedPrintable(pieces: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let left = '';
  for await (const piece of pieces) {
    const text = left + piece.toString('latin1');
    // An equals sign needs the two characters behind it.
    const equals = text.lastIndexOf('=');
    const cut = equals > text.length - 3 && equals !== -1 ? equals : text.length;
    left = text.slice(cut);
    yield unquoted(text.slice(0, cut));
  }
  if (left !== '') yield unquoted(left);
}

function unquoted(text: string): Buffer {
  const plain = text.replace(/=(\r\n|[0-9A-Fa-f]{2})/g, (_, code: string) =>
    code === '\r\n' ? '' : String.fromCharCode(Number.parseInt(code, 16)),
  );
  return Buffer.from(plain, 'latin1');
}
