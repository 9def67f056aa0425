/**
 * What was used, and when. Mail and decisions are counted from their own rows; calls leave none, so each process
 * counts them in memory and adds them up in the store every few seconds. A crash loses the last of them.
 */
import type { Pool } from 'pg';
import { firstIdAt } from '../mail/id.ts';
import type { Db } from './database.ts';

export const EVENT_TYPES = ['emails_sent', 'emails_received', 'api_calls', 'oversight_actions'] as const;
export type EventType = (typeof EVENT_TYPES)[number];

export interface DayCount {
  /** A day of UTC, `2026-01-31`. */
  date: string;
  eventType: EventType;
  count: number;
}

export interface CallCounter {
  /** Counts one call, for today. */
  add(): void;
  /** Adds what was counted to the store. What cannot be written stays counted. */
  flush(): Promise<void>;
}

const FLUSH_MS = 5_000;
const counters = new WeakMap<Pool, CallCounter>();

/** The counter of one database in this process. */
export function callsOf(pool: Pool): CallCounter {
  let counter = counters.get(pool);
  if (counter === undefined) {
    counter = openCounter(pool);
    counters.set(pool, counter);
  }
  return counter;
}

function openCounter(db: Db): CallCounter {
  const counts = new Map<string, number>();
  let timer: NodeJS.Timeout | undefined;
  const counter: CallCounter = {
    add() {
      const day = new Date().toISOString().slice(0, 10);
      counts.set(day, (counts.get(day) ?? 0) + 1);
      timer ??= setTimeout(() => void counter.flush().catch(() => {}), FLUSH_MS).unref();
    },
    async flush() {
      clearTimeout(timer);
      timer = undefined;
      const taken = [...counts];
      counts.clear();
      if (taken.length === 0) return;
      try {
        await addCalls(db, taken);
      } catch (err) {
        for (const [day, count] of taken) counts.set(day, (counts.get(day) ?? 0) + count);
        throw err;
      }
    },
  };
  return counter;
}

async function addCalls(db: Db, counts: [day: string, count: number][]): Promise<void> {
  await db.query({
    text: `insert into usage_counts as u (day, event_type, count)
           select day, 'api_calls', count from unnest($1::date[], $2::bigint[]) as t(day, count)
           on conflict (day, event_type) do update set count = u.count + excluded.count`,
    values: [counts.map(([day]) => day), counts.map(([, count]) => count)],
  });
}

/**
 * Mail that was sent or came, decisions of people, and calls, by day of UTC from the moment `from` on and before
 * `to`; days without any are left out. Mail counts for the day it was accepted, and calls by whole days.
 */
export async function usageByDay(db: Db, from: Date, to: Date): Promise<DayCount[]> {
  // Ids begin with their time, so a span of time is a span of the primary key.
  const { rows } = await db.query<{ date: string; eventType: EventType; count: number }>({
    text: `with counted as (
        select created_at as at, case direction when 'inbound' then 'emails_received' else 'emails_sent' end as type
          from messages
         where id >= $1 and id < $2 and kind = 'mail' and (direction = 'inbound' or state = 'relayed')
        union all
        select decided_at, 'oversight_actions' from approvals where id >= $1 and id < $2
        union all
        select edited_at, 'oversight_actions' from revisions where id >= $1 and id < $2)
      select to_char(at at time zone 'UTC', 'YYYY-MM-DD') as date, type as "eventType", count(*)::int as count
        from counted group by 1, 2
      union all
      select to_char(day, 'YYYY-MM-DD'), event_type, count from usage_counts
       where day >= ($3::timestamptz at time zone 'UTC')::date and day < ($4::timestamptz at time zone 'UTC')
      order by 1, 2`,
    values: [firstIdAt(from.getTime()), firstIdAt(to.getTime()), from, to],
  });
  return rows.filter(({ eventType }) => EVENT_TYPES.includes(eventType));
}
