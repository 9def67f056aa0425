import type { State } from '../mail/lifecycle.ts';
import type { Db } from './database.ts';
import { UNATTENDED } from './new-message.ts';

/** Rows whose time has come, by the room that has to look at them. */
export interface Due {
  policy: string[];
  delivery: string[];
}

// Every live state has someone to wake; a state that ended wakes delivery only while it owes a DSN.
const ROOM: Record<State, 'policy' | 'delivery'> = {
  received: 'policy',
  held: 'policy',
  scheduled: 'policy',
  queued: 'delivery',
  relaying: 'delivery',
  in_doubt: 'delivery',
  failed: 'delivery',
  rejected: 'delivery',
  expired: 'delivery',
  relayed: 'delivery',
  cancelled: 'delivery',
  available: 'delivery',
};

/**
 * Takes up to `limit` rows whose `wake_at` has passed and sets it a little ahead, so that each is rung for
 * again if this ring is lost too. Several processes may sweep at once: a row locked by one is skipped by
 * the others. A row that has ended and owes nothing is laid to rest.
 */
export async function sweep(db: Db, limit: number): Promise<Due> {
  const { rows } = await db.query<{ id: string; state: State; resting: boolean }>({
    name: 'sweep',
    text: `with due as (
        select id from messages where wake_at <= now() order by wake_at limit $1 for update skip locked)
      update messages m
         set wake_at = case
               when m.dsn_owed is null and m.state in ('relayed', 'failed', 'rejected', 'expired', 'cancelled', 'available')
               then null else now() + ${UNATTENDED} end
        from due where m.id = due.id
      returning m.id, m.state, m.wake_at is null as resting`,
    values: [limit],
  });
  const due: Due = { policy: [], delivery: [] };
  // A state that we do not know was written by hand; it must not keep the others from being rung for.
  for (const { id, state, resting } of rows) if (!resting) due[ROOM[state] ?? 'delivery'].push(id);
  return due;
}

/**
 * How many messages are on their way (neither held nor ended), counted up to `enough`: what the door's watermark
 * asks, every second. What sleeps for longer than six hours is left out, so that a reviewer's thousands of held
 * messages, which expire in days, are not read each time.
 */
export async function countUnderway(db: Db, enough: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>({
    name: 'count-underway',
    text: `select count(*) from (
        select 1 from messages
         where wake_at < now() + interval '6 hours' and state in ('received', 'queued', 'relaying') limit $1) as underway`,
    values: [enough],
  });
  return rows[0]!.count;
}
