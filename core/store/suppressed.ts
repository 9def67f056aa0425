/**
 * The suppressed addresses in the memory of one process, so that no recipient costs a question to the database:
 *
 *   first asked ─▶ LISTEN ─▶ read all ─▶ kept; each change is told in passing and applied
 *                     └ connection lost ─▶ listened again ─▶ read all again
 *
 * Until all are read, and where there are more than fit, the database is asked.
 */
import { mailboxKey } from '../mail/address.ts';
import type { Db } from './database.ts';
import type { Listening } from './listening.ts';
import { allSuppressions, CHANNEL, type SuppressionReason, suppressionsOf } from './suppressions.ts';

export interface Suppressed {
  /** Why each of `addresses` (canonical) is suppressed, by address as given; those that are not are left out. */
  among(
    addresses: readonly string[],
  ): Map<string, SuppressionReason> | Promise<Map<string, SuppressionReason>>;
}

const MOST = 100_000;

export function openSuppressed(
  db: Db,
  listening: Pick<Listening, 'on' | 'onReconnect'>,
  { most = MOST }: { most?: number } = {},
): Suppressed {
  let known: Map<string, SuppressionReason> | undefined;
  /** What is told while all are read: nobody knows whether the reading saw it, so it is applied after it. */
  let meanwhile: string[] | undefined;
  let begun = false;
  let turn = 0;

  async function read(): Promise<void> {
    const mine = ++turn;
    known = undefined;
    meanwhile = [];
    // Not read: the database is asked for each, until it is listened to again.
    const all = await allSuppressions(db, most).catch(() => undefined);
    if (mine !== turn) return;
    known = all;
    const told = meanwhile;
    meanwhile = undefined;
    for (const notice of told) apply(notice);
  }

  function apply(notice: string): void {
    if (notice === '*') void read();
    else if (meanwhile !== undefined) meanwhile.push(notice);
    else if (notice.startsWith('-')) known?.delete(notice.slice(1));
    else {
      const blank = notice.indexOf(' ');
      known?.set(notice.slice(blank + 1), notice.slice(1, blank) as SuppressionReason);
      if (known !== undefined && known.size > most) known = undefined;
    }
  }

  function begin(): void {
    begun = true;
    listening.on(CHANNEL, apply);
    listening.onReconnect(() => void read());
  }

  function pick(addresses: readonly string[], found: Map<string, SuppressionReason>) {
    const picked = new Map<string, SuppressionReason>();
    if (found.size === 0) return picked;
    for (const address of addresses) {
      const reason = found.get(mailboxKey(address));
      if (reason !== undefined) picked.set(address, reason);
    }
    return picked;
  }

  return {
    among(addresses) {
      if (!begun) begin();
      if (known !== undefined) return pick(addresses, known);
      return suppressionsOf(db, addresses).then((found) => pick(addresses, found));
    },
  };
}
