/** Addresses that mix scripts to look like another address (UTS #39 §5.2, in short). */
import { domainOf, localOf } from './address.ts';
import { unicodeDomain } from './domain.ts';

const SCRIPTS = [
  'Latin', 'Cyrillic', 'Greek', 'Armenian', 'Hebrew', 'Arabic', 'Devanagari', 'Thai', 'Georgian', 'Cherokee',
  'Han', 'Hiragana', 'Katakana', 'Bopomofo', 'Hangul',
] as const; // biome-ignore format: a list of names
const TESTS = SCRIPTS.map((name) => ({ name, has: new RegExp(`\\p{Script=${name}}`, 'u') }));

// Writing systems that use several scripts at once, and Latin beside them.
const TOGETHER = [
  ['Latin', 'Han', 'Hiragana', 'Katakana'],
  ['Latin', 'Han', 'Bopomofo'],
  ['Latin', 'Han', 'Hangul'],
];

/**
 * Whether the local part or one label of the domain mixes scripts that no writing system uses
 * together, as in a Cyrillic `а` among Latin letters. A reason to look, not to refuse.
 */
export function mixedScript(address: string): boolean {
  if (/^[\x00-\x7f]*$/.test(address) && !address.includes('xn--')) return false;
  return [localOf(address), ...unicodeDomain(domainOf(address)).split('.')].some(mixes);
}

function mixes(word: string): boolean {
  const found = TESTS.filter(({ has }) => has.test(word)).map(({ name }) => name as string);
  return found.length > 1 && !TOGETHER.some((system) => found.every((script) => system.includes(script)));
}
