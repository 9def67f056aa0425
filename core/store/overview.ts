/** The queue as a whole: how much waits, since when, and which ways out are closed. */
import type { Actor } from '../mail/actor.ts';
import type { State } from '../mail/lifecycle.ts';
import type { Db } from './database.ts';

export interface StateCount {
  state: State;
  count: number;
  oldest: Date | null;
}

/** Live mail by state; mail that has ended is not counted. */
export async function countLive(db: Db): Promise<StateCount[]> {
  const { rows } = await db.query<StateCount>({
    name: 'count-live',
    text: `select state, count(*) as count, min(created_at) as oldest
             from messages where wake_at is not null group by state`,
  });
  return rows;
}

export interface PausedRoute {
  name: string;
  reason: string;
  pausedAt: Date;
  probeAt: Date;
}

export async function listPausedRoutes(db: Db): Promise<PausedRoute[]> {
  const { rows } = await db.query<PausedRoute>(
    `select name, reason, paused_at as "pausedAt", probe_at as "probeAt" from paused_routes order by name`,
  );
  return rows;
}

/**
 * Opens a paused route and makes the mail that waited for it due. Undefined when it was not paused; else the
 * ids to ring for (as many as one may ring at once; the sweeper finds the rest).
 */
export async function resumeRoute(
  db: Db,
  route: { name: string; isDefault: boolean },
  actor: Actor,
): Promise<string[] | undefined> {
  const { rows } = await db.query<{ ids: string[] | null }>({
    text: `with opened as (delete from paused_routes where name = $1 returning name),
      waiting as (
        select m.id from messages m join mailboxes b on b.id = m.mailbox_id, opened
         where m.wake_at is not null and m.state = 'queued' and (b.route = $1 or ($2 and b.route is null))
         limit 10000 for update of m skip locked),
      due as (
        update messages m set next_attempt_at = null, wake_at = now() from waiting where m.id = waiting.id
        returning m.id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
        select 'route.resumed', 'route', name, $3, $4, $5, jsonb_build_object('due', (select count(*) from due))
          from opened)
      select (select array_agg(id::text) from due) as ids from opened`,
    values: [route.name, route.isDefault, actor.type, actor.id, actor.name],
  });
  return rows[0] === undefined ? undefined : (rows[0].ids ?? []);
}

/**
 * Makes a queued message that waits for its next attempt due now. False when there was nothing to hurry.
 */
export async function hurry(db: Db, messageId: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with hurried as (
        update messages m set next_attempt_at = null, wake_at = now() + interval '5 seconds', changed_at = now()
          from (select id, next_attempt_at as was from messages where id = $1 for update) before
         where m.id = before.id and m.state = 'queued'
        returning m.id, m.mailbox_id, before.was),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
          from_state, to_state, metadata)
        select 'message.rescheduled', 'message', id, mailbox_id, $2, $3, $4, 'queued', 'queued',
               jsonb_build_object('cause', 'retry', 'next_attempt_at', was) from hurried)
      select id from hurried`,
    values: [messageId, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}

/** Whether the store answers; throws what PostgreSQL said when it does not. */
export async function ping(db: Db): Promise<void> {
  await db.query('select 1');
}
