/**
 * One-time codes that a person reads in a mail and a program shows: `A7X-29K`.
 *
 * Six characters of an alphabet without look-alikes are 30 bits: enough for a code that dies after ten wrong tries,
 * and too few to be hashed bare, for whoever read the hash could try them all. So they are kept as an HMAC.
 */
import { createHmac, randomInt, timingSafeEqual } from 'node:crypto';

const ALPHABET = '23456789ABCDEFGHJKLMNPQRSTUVWXYZ';
const LENGTH = 6;

/** A new code, as people read it. */
export function newCode(): string {
  let code = '';
  for (let i = 0; i < LENGTH; i++) code += ALPHABET[randomInt(ALPHABET.length)];
  return `${code.slice(0, 3)}-${code.slice(3)}`;
}

/** A code as it is compared: case, hyphens and blanks mean nothing. */
export function plainCode(text: string): string {
  return text.replace(/[\s‐-–-]/g, '').toUpperCase();
}

/** What is kept of a code; `id` is that of its row, so that equal codes look different. */
export function codeHash(secret: Buffer, id: string, code: string): Buffer {
  return createHmac('sha256', secret)
    .update(`postern code\0${id}\0${plainCode(code)}`)
    .digest();
}

/** Compared in constant time. */
export function isCode(hash: Buffer, secret: Buffer, id: string, code: string): boolean {
  return timingSafeEqual(hash, codeHash(secret, id, code));
}

/** An address as its owner knows it again and a stranger does not: `o***@example.com`. */
export function maskedAddress(address: string): string {
  const at = address.lastIndexOf('@');
  return `${[...address.slice(0, at)][0] ?? ''}***${address.slice(at)}`;
}
