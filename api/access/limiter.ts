/** How often a caller may ask: counted per key or address, so that nobody can guess or flood at leisure. */
import { isIPv6 } from 'node:net';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { ratesOf } from '../../core/store/rates.ts';
import { Problem } from '../problem.ts';

/** The 429 that says when to come back. */
export function tooMany(text: string, seconds: number, extra: Record<string, unknown> = {}): Problem {
  return new Problem(429, 'rate_limited', text, extra, { 'retry-after': String(seconds) });
}

/**
 * Takes one of `points` that `key` has for `name` in each window of `seconds`, counted over all processes; throws
 * the 429 when none is left. For an address give `networkOf(address)` as key.
 */
export async function requireRate(
  { database }: Pick<Runtime, 'database'>,
  name: string,
  key: string,
  points: number,
  seconds: number,
): Promise<void> {
  const wait = await ratesOf(database.pool).take(name, key, points, seconds);
  if (wait !== undefined) throw tooMany('Too many requests of this kind; try again later.', wait);
}

export interface Limiter {
  /** Seconds to wait when the address has used up its tries; undefined while it has some. */
  blocked(address: string, now?: number): number | undefined;
  failed(address: string, now?: number): void;
}

const ADDRESSES = 100_000;

/** `tries` failures in each window of `windowSeconds`. */
export function failureLimiter({ tries, windowSeconds }: { tries: number; windowSeconds: number }): Limiter {
  const counts = new Map<string, { failures: number; until: number }>();
  const current = (key: string, now: number) => {
    const found = counts.get(key);
    if (found !== undefined && found.until <= now) counts.delete(key);
    return found !== undefined && found.until > now ? found : undefined;
  };
  return {
    blocked(address, now = Date.now()) {
      const found = current(networkOf(address), now);
      if (found === undefined || found.failures < tries) return undefined;
      return Math.max(1, Math.ceil((found.until - now) / 1000));
    },
    failed(address, now = Date.now()) {
      const key = networkOf(address);
      const found = current(key, now) ?? { failures: 0, until: now + windowSeconds * 1000 };
      found.failures += 1;
      counts.delete(key);
      counts.set(key, found);
      if (counts.size > ADDRESSES) counts.delete(counts.keys().next().value!);
    },
  };
}

/** An IPv4 address stands for itself, an IPv6 one for its /64: that much one subscriber gets (RFC 6177). */
export function networkOf(address: string): string {
  const plain = address
    .toLowerCase()
    .replace(/^::ffff:(?=\d+\.)/, '')
    .replace(/%.*$/, '');
  if (!isIPv6(plain)) return plain;
  const [head = '', tail] = plain.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros =
    tail === undefined ? [] : Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...zeros, ...right]
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ''))
    .join(':');
}
