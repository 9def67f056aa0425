/** Arguments as people type them, read into the values inside; what cannot be read is a usage error. */
import { type Address, parseAddress } from '../core/mail/address.ts';
import { isMode, MODES, type Mode } from '../core/mail/mode.ts';
import { type Pattern, parsePattern } from '../core/mail/pattern.ts';
import { clean } from '../core/runtime/clean.ts';
import { suggest } from '../core/runtime/suggest.ts';
import { misuse } from './output.ts';

export function readAddress(text: string): Address {
  const parsed = parseAddress(text, { smtputf8: true });
  if (!parsed.ok)
    throw misuse(`${clean(text, 80)} is no address`, 'expected something like agent@example.com');
  return parsed.address;
}

/** A pattern of an allowlist. */
export function readPattern(text: string): Pattern {
  const parsed = parsePattern(text);
  if (!parsed.ok)
    throw misuse(`${clean(text, 80)} is no pattern`, 'expected ana@example.com or *@example.com');
  return parsed.pattern;
}

export function readMode(text: string): Mode {
  return isMode(text) ? text : unknownWord('mode', text, MODES);
}

/** One word of a closed list. */
export function readWord<T extends string>(what: string, text: string, known: readonly T[]): T {
  return known.find((word) => word === text) ?? unknownWord(what, text, known);
}

export function readWords<T extends string>(what: string, text: string, known: readonly T[]): T[] {
  const words = text.split(',').map((word) => word.trim());
  return [...new Set(words.filter((word) => word !== '').map((word) => readWord(what, word, known)))];
}

export function readCount(what: string, text: string, { min = 1, max = 1_000_000 } = {}): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < min || number > max)
    throw misuse(`${what}: expected a whole number from ${min} to ${max}, got ${clean(text, 40)}`);
  return number;
}

function unknownWord(what: string, text: string, known: readonly string[]): never {
  const meant = suggest(text, known);
  throw misuse(
    `${clean(text, 40)} is no ${what}${meant === undefined ? '' : `; did you mean ${meant}?`}`,
    `expected one of ${known.join(', ')}`,
  );
}
