/** How often somebody asked for something lately, counted for all processes together in `rate_limits`. */
import { hash } from 'node:crypto';
import type { Pool } from 'pg';
import { RateLimiterPostgres, RateLimiterRes } from 'rate-limiter-flexible';

export interface Rates {
  /**
   * Takes one of `points` in a window of `seconds` that begins with the first. Undefined when there was one; else
   * the seconds until the window ends. Throws when the database cannot be asked.
   */
  take(name: string, key: string, points: number, seconds: number): Promise<number | undefined>;
}

const opened = new WeakMap<Pool, Rates>();

/** The counts of one database. */
export function ratesOf(pool: Pool): Rates {
  let rates = opened.get(pool);
  if (rates === undefined) {
    rates = openRates(pool);
    opened.set(pool, rates);
  }
  return rates;
}

function openRates(pool: Pool): Rates {
  const limiters = new Map<string, RateLimiterPostgres>();
  const limiterOf = (name: string, points: number, duration: number) => {
    const known = limiters.get(`${name} ${points} ${duration}`);
    if (known !== undefined) return known;
    const made = new RateLimiterPostgres({
      storeClient: pool,
      storeType: 'pool',
      tableName: 'rate_limits',
      tableCreated: true,
      keyPrefix: name,
      points,
      duration,
      // Who has used up the window is refused from memory: an attack then costs no statements.
      inMemoryBlockOnConsumed: points,
    });
    limiters.set(`${name} ${points} ${duration}`, made);
    return made;
  };
  return {
    async take(name, key, points, seconds) {
      try {
        // Keys may be addresses of people; the table has no need to show them.
        await limiterOf(name, points, seconds).consume(hash('sha256', key, 'base64url'));
        return undefined;
      } catch (refused) {
        if (!(refused instanceof RateLimiterRes)) throw refused;
        return Math.max(1, Math.ceil(refused.msBeforeNext / 1000));
      }
    },
  };
}
