/**
 * How much may still be sent: counted by day of UTC beside the calls, in one row that all processes add to. The
 * row's lock puts those who send at the same time in order, so nobody gets past a limit between reading and writing.
 */
import type { Db } from './database.ts';

/** A new account sends so many messages a day, for as many days each; then as many as it likes. */
export const WARMUP = { perDay: [50, 500, 5_000], daysEach: 10 } as const;

export interface Limits {
  /** Whether a new account sends little at first. */
  warmup: boolean;
  /** Messages a month of UTC; null for no limit. */
  monthly: number | null;
}

export interface Allowance {
  /** Whether one was taken. */
  taken: boolean;
  /** From 1; null once it is over, or where nobody warms up. */
  stage: number | null;
  dailyLimit: number | null;
  /** Before this one. */
  sentToday: number;
  sentThisMonth: number;
  /** Whole seconds until the next day, and the next month, of UTC. */
  dayEndsIn: number;
  monthEndsIn: number;
}

const TAKE = `with present as materialized (
    select (now() at time zone 'UTC')::date as day,
           case when $1::int[] is not null and days < $2 * cardinality($1) then days / $2 + 1 end as stage
      from (select greatest(0, floor(extract(epoch from now() - created_at) / 86400))::int as days from account) as age),
  limits as materialized (select day, stage, ($1::int[])[stage] as daily from present),
  earlier as materialized (
    select coalesce(sum(u.count), 0)::bigint as count from usage_counts u, limits l
     where u.event_type = 'sends' and u.day >= date_trunc('month', l.day) and u.day < l.day),
  taken as (
    insert into usage_counts as u (day, event_type, count)
    select day, 'sends', 1 from limits, earlier where $3::bigint is null or earlier.count < $3
    on conflict (day, event_type) do update set count = u.count + 1
      where ((select daily from limits) is null or u.count < (select daily from limits))
        and ($3::bigint is null or u.count + (select count from earlier) < $3)
    returning count)
  select exists (select 1 from taken) as taken, l.stage, l.daily as "dailyLimit",
         today.count::int as "sentToday", (today.count + earlier.count)::int as "sentThisMonth",
         ceil(extract(epoch from (l.day + 1)::timestamp - now() at time zone 'UTC'))::int as "dayEndsIn",
         ceil(extract(epoch from date_trunc('month', l.day + interval '1 month') - now() at time zone 'UTC'))::int
           as "monthEndsIn"
    from limits l, earlier, lateral (
      select coalesce(sum(count), 0) as count from usage_counts where event_type = 'sends' and day = l.day) today`;

/** Takes one message from what may be sent, or tells what is used up. */
export async function takeSend(db: Db, { warmup, monthly }: Limits): Promise<Allowance> {
  const { rows } = await db.query<Allowance>({
    name: 'take-send',
    text: TAKE,
    values: [warmup ? WARMUP.perDay : null, WARMUP.daysEach, monthly],
  });
  return rows[0]!;
}

/** Gives one back that was taken today and then not sent. */
export async function giveBackSend(db: Db): Promise<void> {
  await db.query({
    name: 'give-back-send',
    text: `update usage_counts set count = count - 1
            where event_type = 'sends' and day = (now() at time zone 'UTC')::date and count > 0`,
  });
}
