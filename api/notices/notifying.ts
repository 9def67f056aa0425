/**
 * Writes to the people who oversee: that mail is held, still waits, or has expired.
 *
 *   verdict: held ─NOTIFY─▶ gathered ─▶ one notice each, up to five a minute for an address
 *   each minute ──────────▶ what is left (too many, or nobody heard) ─▶ one mail for all of them
 *                 ├───────▶ half the time is over ─▶ one reminder for an address
 *                 └───────▶ inbound mail expired ──▶ one mail for an address
 *
 * It follows the verdict at a distance, and no verdict waits for it. A hold is taken and its notice stored in one
 * transaction, so several processes tell it once, and a crash between loses none.
 */

import { system } from '../../core/mail/actor.ts';
import { approvalToken } from '../../core/mail/approval-token.ts';
import { baseUrlOf } from '../../core/runtime/base-url.ts';
import { startRounds } from '../../core/runtime/rounds.ts';
import type { Room, Runtime } from '../../core/runtime/runtime.ts';
import { readAccount } from '../../core/store/account.ts';
import { sendNotice } from '../../core/store/notices.ts';
import {
  type DueNotice,
  dueNotices,
  HELD_CHANNEL,
  type Told,
  takeNotices,
} from '../../core/store/notifying.ts';
import { ratesOf } from '../../core/store/rates.ts';
import { bodyOf } from '../reading/bodies.ts';
import { expiredWords, heldWords, type Linked, manyHeldWords, reminderWords, type Words } from './words.ts';

type House = Pick<Runtime, 'config' | 'database' | 'bells' | 'log' | 'listening'>;

const EVERY_MS = 60_000;
const AT_ONCE = 5;
const MOST = 500;

/** Begins to listen and to make rounds, unless the configuration wants no notices. */
export function startNotices(house: House): Room {
  if (!house.config.oversight.notices) return { close: async () => {} };
  const heard = new Set<string>();
  let working: Promise<void> | undefined;
  let closed = false;

  async function work(): Promise<void> {
    while (heard.size > 0 && !closed) {
      const ids = [...heard].slice(0, MOST);
      for (const id of ids) heard.delete(id);
      await tellHeldNow(house, ids).catch(failed);
    }
    working = undefined;
  }
  const failed = (err: unknown) =>
    house.log.warn({ err }, 'notices could not be written: the next round tries again');
  const stop = house.listening.on(HELD_CHANNEL, (text) => {
    for (const id of text.split(' ')) if (heard.size < MOST) heard.add(id);
    working ??= work();
  });
  const rounds = startRounds(() => noticeRound(house).catch(failed), EVERY_MS);
  return {
    async close() {
      closed = true;
      stop();
      await rounds.close();
      await working;
    },
  };
}

/** Tells of these messages, each in a mail of its own; where that would be too many they wait for the round. */
export async function tellHeldNow(house: House, messageIds: readonly string[]): Promise<void> {
  for (const group of grouped(await dueNotices(house.database.pool, 'notified', messageIds, MOST)))
    if (group.length <= AT_ONCE) await tellEach(house, group);
}

/** Everything that is due, for all addresses. */
export async function noticeRound(house: House): Promise<void> {
  const db = house.database.pool;
  for (const group of grouped(await dueNotices(db, 'notified', null, MOST))) {
    const left = group.length <= AT_ONCE ? await tellEach(house, group) : group;
    if (left.length > 0) await tellTogether(house, 'notified', left, manyHeldWords);
  }
  for (const group of grouped(await dueNotices(db, 'reminded', null, MOST)))
    await tellTogether(house, 'reminded', group, reminderWords);
  for (const group of grouped(await dueNotices(db, 'expired', null, MOST)))
    await tellTogether(house, 'expired', group, expiredWords);
}

function grouped(due: DueNotice[]): DueNotice[][] {
  return [...Map.groupBy(due, ({ to }) => to).values()];
}

/** Returns those that would have been too many in a minute. */
async function tellEach(house: House, group: DueNotice[]): Promise<DueNotice[]> {
  for (const [n, one] of group.entries()) {
    const body = await bodyOf(one, house);
    const words = ([linked]: Linked[]) => heldWords(linked!, body, house.config.hostname);
    if (!(await tell(house, 'notified', [one], words, { name: 'notices', points: AT_ONCE, seconds: 60 })))
      return group.slice(n);
  }
  return [];
}

async function tellTogether(
  house: House,
  told: Told,
  group: DueNotice[],
  words: (all: Linked[], hostname: string) => Words,
): Promise<void> {
  const rate = { name: `notices-${told}`, points: 1, seconds: 50 };
  await tell(house, told, group, (all) => words(all, house.config.hostname), rate);
}

class TooMany extends Error {}

/** Writes one mail about a group. False: the address had too many lately, and nothing was done. */
async function tell(
  { config, database, bells }: House,
  told: Told,
  group: DueNotice[],
  words: (all: Linked[]) => Words,
  { name, points, seconds }: { name: string; points: number; seconds: number },
): Promise<boolean> {
  const { secret } = await readAccount(database.pool);
  const { to } = group[0]!;
  const link = ({ id, digest }: DueNotice) =>
    `${baseUrlOf(config)}/v1/approve/${approvalToken(secret, id, digest)}`;
  const notice = await database
    .transaction(async (db) => {
      const holds = group.map(({ holdId }) => holdId);
      const taken = new Set(await takeNotices(db, told, holds));
      const ours = group.filter(({ holdId }) => taken.has(holdId));
      // Another process told it, or somebody decided.
      if (ours.length === 0) return undefined;
      if ((await ratesOf(database.pool).take(name, to, points, seconds)) !== undefined) throw new TooMany();
      const written = words(ours.map((one) => ({ ...one, link: link(one) })));
      const { hostname } = config;
      return sendNotice(db, { hostname, to, ...written, aboutId: ours[0]!.id, actor: system('api') });
    })
    .catch((err: unknown) => {
      if (err instanceof TooMany) return 'too many' as const;
      throw err;
    });
  if (notice !== undefined && notice !== 'too many') bells.ring('delivery', [notice]);
  return notice !== 'too many';
}
