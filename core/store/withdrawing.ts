import type { Actor } from '../mail/actor.ts';
import { type State, statesBefore } from '../mail/lifecycle.ts';
import type { Database } from './database.ts';
import { lockMessages } from './locking.ts';
import { UNATTENDED } from './new-message.ts';

const CANCELLABLE = statesBefore('cancel');

const CANCEL = `with before as (
    select id, state from messages m
     where id = $1 and state = any($2::text[])
       and not exists (
         select 1 from recipients r where r.message_id = m.id and r.status in ('relayed', 'in_doubt'))),
  moved as (
    update messages m
       set state = 'cancelled', status_reason = null, dsn_owed = null, wake_at = null, changed_at = now()
      from before where m.id = before.id
    returning m.id, m.mailbox_id, before.state as was),
  closed as (update holds h set closed_at = now() from moved where h.message_id = moved.id and h.closed_at is null),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state)
    select 'message.cancelled', 'message', id, mailbox_id, $3, $4, $5, was, 'cancelled' from moved)
  select id from moved`;

/**
 * Stops a message that has not begun to leave. True: it is cancelled now, and no attempt will ever follow,
 * because this and the beginning of an attempt contend for the same row. A message that waits for another
 * attempt can be stopped as long as no recipient was, or may have been, reached.
 */
export async function cancel(database: Database, messageId: string, actor: Actor): Promise<boolean> {
  return database.transaction(async (db) => {
    await lockMessages(db, [messageId]);
    const values = [messageId, CANCELLABLE, actor.type, actor.id, actor.name];
    const { rowCount } = await db.query({ name: 'cancel', text: CANCEL, values });
    return rowCount === 1;
  });
}

const SETTLE_DOUBT = `with doubted as (select id from messages where id = $1 and state = 'in_doubt'),
  fares as (
    select doubted.id,
           case when $2 = 'pending' or bool_or(r.status in ('pending', 'deferred')) then 'queued'
                when $2 = 'failed' or bool_or(r.status = 'failed') then 'failed'
                else 'relayed' end as state
      from doubted left join recipients r on r.message_id = doubted.id
     group by doubted.id),
  moved as (
    update messages m
       set state = fares.state, changed_at = now(), next_attempt_at = $8::timestamptz, status_reason = $3::text,
           -- a person's word gives it its whole time again
           queued_at = case when $8::timestamptz is null then now() else m.queued_at end,
           dsn_owed = case when fares.state = 'failed' and m.kind = 'mail' and m.source in ('submission', 'trusted')
                           then 'failed' end,
           wake_at = case when fares.state <> 'relayed' then coalesce($8::timestamptz, now() + ${UNATTENDED}) end
      from fares where m.id = fares.id
    returning m.id, m.mailbox_id, m.state, m.dsn_owed),
  fared as (
    update recipients r set status = $2, settled_at = case when $2 <> 'pending' then now() end
      from moved where r.message_id = moved.id and r.status = 'in_doubt'),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state, metadata)
    select 'message.settled', 'message', id, mailbox_id, $4, $5, $6, 'in_doubt', state,
           jsonb_build_object('outcome', $7::text, 'reason', $3::text) from moved)
  select state, dsn_owed is not null as "dsnOwed" from moved`;

/**
 * A person's word on the recipients in doubt: try them again (`retry`), or take them as reached (`sent`) or
 * failed. The message then stands as all its recipients do: still to try, failed, or relayed. `again` is for a
 * retry that nobody asked for: when it is due. Returns the state reached, or undefined when it was not in doubt.
 */
export async function settleDoubt(
  database: Database,
  messageId: string,
  outcome: 'retry' | 'sent' | 'failed',
  actor: Actor,
  reason: string | null,
  again: Date | null = null,
): Promise<{ state: State; dsnOwed: boolean } | undefined> {
  const status = { retry: 'pending', sent: 'relayed', failed: 'failed' }[outcome];
  const values = [messageId, status, reason, actor.type, actor.id, actor.name, outcome, again];
  return database.transaction(async (db) => {
    await lockMessages(db, [messageId]);
    const { rows } = await db.query<{ state: State; dsnOwed: boolean }>({
      name: 'settle-doubt',
      text: SETTLE_DOUBT,
      values,
    });
    return rows[0];
  });
}
