/** What becomes of mail that has arrived: read, put away, called spam or cleared of it. Each step with its audit row. */
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { State } from '../mail/lifecycle.ts';
import { announce } from './arrivals.ts';
import type { Database, Db } from './database.ts';
import { lockMessages } from './locking.ts';

export type InboxStatus = 'unread' | 'read' | 'archived' | 'deleted';

/** Marks one unread message as read; false when it was read before, or cannot be read. */
export async function markRead(db: Db, id: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'mark-read',
    text: `with moved as (
        update messages set inbox_status = 'read'
         where id = $1 and state = 'available' and direction = 'inbound' and inbox_status is null
        returning id, mailbox_id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name)
        select 'message.read', 'message', id, mailbox_id, $2, $3, $4 from moved)
      select 1 from moved`,
    values: [id, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}

/** Sets where a message that has arrived stands; false when it has not arrived. The same again changes nothing. */
export async function setInboxStatus(
  db: Db,
  id: string,
  status: InboxStatus,
  actor: Actor,
): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'set-inbox-status',
    text: `with before as (
        select id, inbox_status from messages
         where id = $1 and state = 'available' and direction = 'inbound' for update),
      moved as (
        update messages m set inbox_status = nullif($2, 'unread')
          from before where m.id = before.id and before.inbox_status is distinct from nullif($2, 'unread')
        returning m.id, m.mailbox_id, coalesce(before.inbox_status, 'unread') as was),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select case $2 when 'archived' then 'message.archived' when 'deleted' then 'message.deleted' else 'message.read' end,
               'message', id, mailbox_id, $3, $4, $5, jsonb_build_object('status_before', was, 'status', $2::text) from moved)
      select 1 from before`,
    values: [id, status, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}

const REPORT = `with target as (
    select m.id, m.state, now() + b.hold_expiry_hours * interval '1 hour' as until
      from messages m join mailboxes b on b.id = m.mailbox_id
     where m.id = $1 and m.direction = 'inbound'
       and (m.state = 'available' or (m.state = 'held' and m.user_label is distinct from 'spam'))),
  moved as (
    update messages m
       set state = 'held', spam_verdict = 'quarantined', user_label = 'spam',
           changed_at = case when target.state = 'available' then now() else m.changed_at end,
           wake_at = case when target.state = 'available' then target.until else m.wake_at end
      from target where m.id = target.id
    returning m.id, m.mailbox_id, target.state as was, target.until),
  held as (
    insert into holds (id, message_id, mailbox_id, reasons, expires_at)
    select $2, id, mailbox_id, array['it was reported as spam'], until from moved
    on conflict (message_id) where closed_at is null do update set reasons = excluded.reasons),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state)
    select 'message.spam_reported', 'message', id, mailbox_id, $3, $4, $5,
           case when was = 'available' then was end, case when was = 'available' then 'held' end from moved)
  select 1 from moved`;

/** Puts inbound mail into quarantine. Nothing changes when it is there already, or neither held nor arrived. */
export async function reportSpam(database: Database, id: string, actor: Actor): Promise<void> {
  await database.transaction(async (db) => {
    await lockMessages(db, [id]);
    const values = [id, newId(), actor.type, actor.id, actor.name];
    await db.query({ name: 'report-spam', text: REPORT, values });
  });
}

const CLEAR = `with target as (
    select m.id, m.state, b.oversight_mode in ('gated_all') as gated,
           now() + b.hold_expiry_hours * interval '1 hour' as until
      from messages m join mailboxes b on b.id = m.mailbox_id
     where m.id = $1 and m.direction = 'inbound'
       and (m.state = 'available' or (m.state = 'held' and m.spam_verdict = 'quarantined'))),
  moved as (
    update messages m
       set state = case when target.gated then m.state else 'available' end,
           spam_verdict = 'clean', user_label = 'not_spam', inbox_status = null,
           place = case when m.state = 'held' and not target.gated then $2 else m.place end,
           changed_at = case when m.state = 'held' and not target.gated then now() else m.changed_at end,
           wake_at = case when m.state = 'held' and target.gated then target.until end
      from target where m.id = target.id
    returning m.id, m.mailbox_id, m.state, target.state as was, target.gated, target.until),
  let_in as (
    update holds h set closed_at = now() from moved
     where h.message_id = moved.id and h.closed_at is null and not moved.gated),
  held_on as (
    update holds h
       set reasons = array['all mail to this mailbox needs approval (gated_all)'], held_at = now(), expires_at = moved.until
      from moved where h.message_id = moved.id and h.closed_at is null and moved.gated),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state)
    select 'message.spam_cleared', 'message', id, mailbox_id, $3, $4, $5,
           case when was <> state then was end, case when was <> state then state end from moved)
  select mailbox_id as "mailboxId", state, was from moved`;

/**
 * Takes the word spam off inbound mail: quarantined mail is let in, at the end of lists, or in a `gated_all` mailbox
 * waits for a reviewer from now on. Nothing changes when it is neither quarantined nor arrived.
 */
export async function clearSpam(database: Database, id: string, actor: Actor): Promise<void> {
  await database.transaction(async (db) => {
    await lockMessages(db, [id]);
    const { rows } = await db.query<{ mailboxId: string; state: State; was: State }>({
      name: 'clear-spam',
      text: CLEAR,
      values: [id, newId(), actor.type, actor.id, actor.name],
    });
    const moved = rows[0];
    if (moved?.was === 'held' && moved.state === 'available')
      await announce(db, [{ mailboxId: moved.mailboxId, id }]);
  });
}
