/**
 * The kinds of value a setting can have. Each key is registered with the words the reference prints and
 * with what a fault says was expected, so that neither can drift from the check itself.
 */
import { BlockList, isIP } from 'node:net';
import { z } from 'zod';

export interface KeyFacts {
  description: string;
  /** Completes the sentence "expected …". */
  expects: string;
  /** Never printed, not even in a fault. */
  secret?: boolean;
  /** The default in words, where it is worked out at start. */
  fallback?: string;
}

export const KEYS = z.registry<KeyFacts>();

/** A schema with its facts: a copy, for one kind may serve several keys. Always the outermost call. */
export function key<S extends z.ZodType>(schema: S, facts: KeyFacts): S {
  const own = schema.clone() as S;
  KEYS.add(own, facts);
  return own;
}

export function port(fallback: number, description: string) {
  return key(z.int().min(0).max(65535).default(fallback), {
    description: `${description} 0 takes any free port.`,
    expects: 'a port number from 0 to 65535',
  });
}

export function count(fallback: number, description: string, { min = 1, max = 1_000_000_000 } = {}) {
  return key(z.int().min(min).max(max).default(fallback), {
    description,
    expects: `a whole number from ${min} to ${max}`,
  });
}

export function flag(fallback: boolean, description: string) {
  return key(z.boolean().default(fallback), { description, expects: 'true or false' });
}

export function choice<const T extends readonly [string, ...string[]]>(
  values: T,
  fallback: NoInfer<T[number]>,
  description: string,
) {
  return key(z.enum(values as readonly [T[number], ...T[number][]]).default(fallback), {
    description,
    expects: `one of ${values.join(', ')}`,
  });
}

const NAME = /^[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?$/i;

/** A short name that an operator gives to a route or a network. */
export const shortName = z.string().regex(NAME);

/** An interface to listen on, or a host to connect to: a name or an address, no port, no scheme. */
export const host = z.string().refine((text) => isIP(text) !== 0 || isHostname(text));
export const HOST_EXPECTS = 'a host name or an IP address';

export function isHostname(text: string): boolean {
  const labels = text.replace(/\.$/, '').split('.');
  return text.length <= 253 && labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(label));
}

/**
 * True for `192.0.2.0/24`, `2001:db8::/32` or a single address. A prefix of 0 bits is every address
 * there is, which nobody who lists networks can have meant.
 */
export function isCidr(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/');
  const version = isIP(address);
  if (version === 0 || rest.length > 0 || address.includes('%')) return false;
  if (bits === undefined) return true;
  return /^[1-9]\d{0,2}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128);
}

/** The listed networks as something that can be asked `check(address, family)`. */
export function blockListOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = '', bits] = cidr.split('/');
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4';
    list.addSubnet(address, bits === undefined ? (family === 'ipv6' ? 128 : 32) : Number(bits), family);
  }
  return list;
}

export function isUrl(text: string, ...protocols: string[]): boolean {
  return URL.canParse(text) && protocols.includes(new URL(text).protocol);
}
