/** Routes that wait for a person, and the mail that waits with them. */
import type { State } from '../mail/lifecycle.ts';
import type { Db } from './database.ts';

/** Which routes mailboxes name, beside the default one. */
export async function routesInUse(db: Db): Promise<string[]> {
  const { rows } = await db.query<{ route: string }>(
    'select distinct route from mailboxes where route is not null',
  );
  return rows.map(({ route }) => route);
}

/**
 * Stops a route until someone resumes it or a probe gets through. True when it was not stopped before: then the
 * audit says so too.
 */
export async function pauseRoute(
  db: Db,
  pause: { name: string; reason: string; probeSeconds: number },
): Promise<boolean> {
  const { rows } = await db.query<{ fresh: boolean }>({
    text: `with paused as (
        insert into paused_routes (name, reason, probe_at) values ($1, $2, now() + make_interval(secs => $3))
        on conflict (name) do update set reason = excluded.reason, probe_at = excluded.probe_at
        returning name, reason, xmax = 0 as fresh),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_name, metadata)
        select 'route.paused', 'route', name, 'system', 'delivery', jsonb_build_object('reason', reason)
          from paused where fresh)
      select fresh from paused`,
    values: [pause.name, pause.reason, pause.probeSeconds],
  });
  return rows[0]!.fresh;
}

/** Takes the right to try one message on a paused route; of several workers one gets it, and only when it is time. */
export async function takeProbe(db: Db, name: string, probeSeconds: number): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `update paused_routes set probe_at = now() + make_interval(secs => $2) where name = $1 and probe_at <= now()`,
    values: [name, probeSeconds],
  });
  return rowCount === 1;
}

/** When a route was last stopped and resumed, or undefined when it never was. */
export async function lastPause(db: Db, name: string): Promise<{ from: Date; to: Date } | undefined> {
  const { rows } = await db.query<{ from: Date | null; to: Date | null }>({
    text: `select max(at) filter (where action = 'route.paused') as from,
                  max(at) filter (where action = 'route.resumed') as to
             from audit_events where resource_id = $1 and resource_type = 'route'`,
    values: [name],
  });
  const { from, to } = rows[0]!;
  return from !== null && to !== null && from < to ? { from, to } : undefined;
}

/** What delivery has to do with a message, from one cheap look at its row. */
export interface Look {
  id: string;
  state: State;
  kind: 'mail' | 'dsn' | 'copy' | 'notice';
  route: string | null;
  /** Queued, and its next attempt is not later than now. */
  due: boolean;
  dsnOwed: 'failed' | 'delayed' | 'rejected' | 'expired' | 'unknown' | null;
  /** When it was let go: from here its time is counted. */
  queuedAt: Date;
  changedAt: Date;
  attempts: number;
}

/** The rows among `ids` that delivery may have to do with. */
export async function lookAt(db: Db, ids: string[]): Promise<Look[]> {
  const { rows } = await db.query<Look>({
    name: 'look-at',
    text: `select m.id, m.state, m.kind, b.route, m.dsn_owed as "dsnOwed", coalesce(m.queued_at, m.created_at) as "queuedAt",
                  m.changed_at as "changedAt", m.attempts,
                  m.state = 'queued' and (m.next_attempt_at is null
                    or m.next_attempt_at <= now() + interval '100 milliseconds') as due
             from messages m join mailboxes b on b.id = m.mailbox_id
            where m.id = any($1::text[]) and m.direction = 'outbound'
              and (m.state in ('queued', 'in_doubt') or m.dsn_owed is not null)`,
    values: [ids],
  });
  return rows;
}

/**
 * Lets queued mail sleep while its route cannot be used, without an attempt; who waits longer than
 * `delayHours` is owed word of it, once. Returns the ids for which that word is owed now.
 */
export async function postpone(
  db: Db,
  ids: string[],
  { seconds, delayHours }: { seconds: number; delayHours: number },
): Promise<string[]> {
  const { rows } = await db.query<{ id: string; owed: boolean }>({
    name: 'postpone',
    text: `update messages m
              set wake_at = now() + make_interval(secs => $2 * (1 + random() / 5)),
                  dsn_owed = case when ${DELAYED} then 'delayed' else m.dsn_owed end,
                  delay_reported = m.delay_reported or ${DELAYED}
            where m.id = any($1::text[]) and m.state = 'queued'
           returning m.id, m.dsn_owed = 'delayed' as owed`,
    values: [ids, seconds, delayHours],
  });
  return rows.filter(({ owed }) => owed).map(({ id }) => id);
}

const DELAYED = `($3 > 0 and not m.delay_reported and m.dsn_owed is null and m.kind = 'mail'
  and m.source in ('submission', 'trusted') and coalesce(m.queued_at, m.created_at) < now() - make_interval(hours => $3))`;

/**
 * Ends queued mail whose time ran out while its route could not be used. Returns the ids it ended; their
 * senders are owed a report.
 */
export async function giveUp(db: Db, ids: string[], reason: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    name: 'give-up',
    text: `with ended as (
        update messages m
           set state = 'failed', status_reason = $2, changed_at = now(), next_attempt_at = null,
               dsn_owed = case when m.source <> 'rest' then 'failed' end,
               wake_at = case when m.source <> 'rest' then now() + interval '5 seconds' end
         where m.id = any($1::text[]) and m.state = 'queued'
        returning m.id, m.mailbox_id),
      fared as (
        update recipients r
           set status = 'failed', settled_at = now(), reply_enhanced = '4.4.7',
               reply_text = coalesce(r.reply_text, $2)
          from ended where r.message_id = ended.id and r.status in ('pending', 'deferred')),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name,
          from_state, to_state, metadata)
        select 'message.failed', 'message', id, mailbox_id, 'system', 'delivery', 'queued', 'failed',
               jsonb_build_object('reason', $2::text) from ended)
      select id from ended`,
    values: [ids, reason],
  });
  return rows.map(({ id }) => id);
}

/** Ends the sleep of queued mail that is due but was postponed, because its next hop can be reached again. */
export async function wakeSleepers(db: Db, route: { name: string; isDefault: boolean }): Promise<void> {
  await db.query({
    text: `update messages m set wake_at = now()
             from (select m.id from messages m join mailboxes b on b.id = m.mailbox_id
                    where m.wake_at > now() and m.state = 'queued'
                      and (m.next_attempt_at is null or m.next_attempt_at <= now())
                      and (b.route = $1 or ($2 and b.route is null))
                    limit 10000 for update of m skip locked) sleepers
            where m.id = sleepers.id`,
    values: [route.name, route.isDefault],
  });
}
