/** How many bytes an encoded part holds, worked out without decoding it. */

export type Encoding = 'base64' | 'quoted-printable' | 'identity';

/** The encoding a Content-Transfer-Encoding names; what is unknown is taken as it stands. */
export function encodingOf(value: string | undefined): Encoding {
  const word = (value ?? '')
    .slice(0, 100)
    .split(/[;(\s]/)[0]!
    .toLowerCase();
  return word === 'base64' || word === 'quoted-printable' ? word : 'identity';
}

export function decodedSize(body: Buffer, encoding: Encoding): number {
  if (encoding === 'identity') return body.length;
  return encoding === 'base64' ? base64Size(body) : quotedSize(body);
}

const EQUALS = 0x3d;
const CR = 0x0d;
const LF = 0x0a;

const COUNTS = new Uint8Array(256);
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_')
  COUNTS[char.charCodeAt(0)] = 1;

function base64Size(body: Buffer): number {
  const digits = regularDigits(body) ?? countDigits(body);
  return Math.floor((digits * 3) / 4);
}

/**
 * Lines of one length, as every mailer writes them: only their ends are looked at, since to read 25 MB byte by
 * byte would cost the door more than all the rest. Undefined where they are not so.
 */
function regularDigits(body: Buffer): number | undefined {
  const length = body.indexOf('\r\n');
  if (length < 4 || length % 4 !== 0) return undefined;
  const step = length + 2;
  let at = 0;
  let digits = 0;
  for (; at + step <= body.length && body[at + length] === CR && body[at + length + 1] === LF; at += step) {
    if (COUNTS[body[at]!] !== 1 || COUNTS[body[at + length - 1]!] !== 1) break;
    digits += length;
  }
  const rest = body.subarray(at);
  return rest.length > 2 * step + 1024 ? undefined : digits + countDigits(rest);
}

/** Digits up to the padding. */
function countDigits(body: Buffer): number {
  let digits = 0;
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]!;
    if (byte === EQUALS) break;
    digits += COUNTS[byte]!;
  }
  return digits;
}

/** `=3D` is one byte, `=` at the end of a line is none (RFC 2045 §6.7). */
function quotedSize(body: Buffer): number {
  let size = body.length;
  for (let at = body.indexOf(EQUALS); at !== -1 && at < body.length; ) {
    if (body[at + 1] === CR && body[at + 2] === LF) {
      size -= 3;
      at += 3;
    } else if (isHex(body[at + 1]) && isHex(body[at + 2])) {
      size -= 2;
      at += 3;
    } else at += 1;
    while (at < body.length && body[at] !== EQUALS) at += 1;
  }
  return size;
}

function isHex(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66);
}
