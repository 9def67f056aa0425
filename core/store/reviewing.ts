import type { Actor } from '../mail/actor.ts';
import type { State } from '../mail/lifecycle.ts';
import { statesBefore } from '../mail/lifecycle.ts';
import type { Db } from './database.ts';

/** A reviewer's answer, for exactly the content whose digest they saw. */
export interface Decision {
  id: string;
  messageId: string;
  decision: 'approve' | 'reject';
  /** Hex SHA-256 of envelope and bytes, as shown to the reviewer. */
  digest: string;
  principal: { id: string; name: string };
  actor: Actor;
  reason: string | null;
}

/** What a message was when a step was refused, so that the caller can say why. */
export interface Standing {
  id: string;
  state: State;
  digest: string;
  direction: 'inbound' | 'outbound';
  composerId: string | null;
  composerOwnerId: string | null;
  holdExpired: boolean;
  decidedBy: string | null;
  decision: 'approve' | 'reject' | null;
  decidedAt: Date | null;
}

/**
 * Writes a decision on a held message, in one statement: state, approval, hold and audit together. Returns
 * the state reached, or undefined when nothing was changed (see `standing` for the reason): the message is no
 * longer held, its digest differs, its hold has expired by the database's clock, or the decider composed it.
 */
export async function decide(db: Db, decision: Decision): Promise<State | undefined> {
  const { rows } = await db.query<{ state: State }>({
    name: 'decide',
    text: `with moved as (
        update messages m
           set state = case
                 when $3 = 'reject' then 'rejected'
                 when m.direction = 'inbound' then 'available'
                 when m.send_at > now() then 'scheduled'
                 else 'queued' end,
               released_by = case when $3 = 'approve' then 'approval' end,
               dsn_owed = case when $3 = 'reject' and m.direction = 'outbound'
                 and m.source in ('submission', 'trusted') then 'rejected' end,
               status_reason = $8::text, changed_at = now(), next_attempt_at = null,
               wake_at = case
                 when $3 = 'reject' and m.direction = 'outbound' and m.source in ('submission', 'trusted')
                   then now() + interval '5 seconds'
                 when $3 = 'approve' and m.direction = 'outbound'
                   then greatest(coalesce(m.send_at, now()), now()) + interval '5 seconds' end
         where m.id = $2 and m.state = 'held' and m.digest = decode($4, 'hex')
           and m.composer_id is distinct from $5
           and not exists (select 1 from principals p where p.id = m.composer_id and p.owner_id = $5)
           and exists (select 1 from holds h where h.message_id = m.id and h.closed_at is null and h.expires_at > now())
        returning m.id, m.mailbox_id, m.state, m.digest),
      recorded as (
        insert into approvals (id, message_id, decision, digest, principal_id, principal_name, reason)
        select $1, id, $3, digest, $5, $6, $7 from moved),
      closed as (update holds h set closed_at = now() from moved where h.message_id = moved.id and h.closed_at is null),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
          from_state, to_state, metadata)
        select case $3 when 'approve' then 'message.approved' else 'message.rejected' end, 'message', id, mailbox_id,
               $9, $10, $11, 'held', state,
               jsonb_build_object('approval', jsonb_build_object('id', $1::text, 'by', $6::text, 'decision', $3::text,
                 'reason', $7::text, 'content_hash', $4::text))
          from moved)
      select state from moved`,
    values: [
      decision.id,
      decision.messageId,
      decision.decision,
      decision.digest,
      decision.principal.id,
      decision.principal.name,
      decision.reason,
      decision.decision === 'reject' ? `rejected: ${decision.reason ?? 'no reason given'}` : null,
      decision.actor.type,
      decision.actor.id,
      decision.actor.name,
    ],
  });
  return rows[0]?.state;
}

/** How a message stands, or undefined when there is none. */
export async function standing(db: Db, messageId: string): Promise<Standing | undefined> {
  const { rows } = await db.query<Standing>({
    name: 'standing',
    text: `select m.id, m.state, encode(m.digest, 'hex') as digest, m.direction, m.composer_id as "composerId",
        p.owner_id as "composerOwnerId", a.principal_name as "decidedBy", a.decision, a.decided_at as "decidedAt",
        exists (select 1 from holds h where h.message_id = m.id and h.closed_at is null and h.expires_at <= now())
          as "holdExpired"
      from messages m
      left join principals p on p.id = m.composer_id
      left join lateral (select * from approvals a where a.message_id = m.id order by a.decided_at desc limit 1) a on true
     where m.id = $1`,
    values: [messageId],
  });
  return rows[0];
}

const CANCELLABLE = statesBefore('cancel');

/**
 * Stops a message that has not begun to leave. True: it is cancelled now, and no attempt will ever follow,
 * because this and the beginning of an attempt contend for the same row.
 */
export async function cancel(db: Db, messageId: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'cancel',
    text: `with before as (select id, state from messages where id = $1 and state = any($2::text[]) for update),
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
      select id from moved`,
    values: [messageId, CANCELLABLE, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}

/** Ends holds whose time has passed among `ids` (never sent; the sender is told). Returns the ids it expired. */
export async function expire(db: Db, ids: string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    name: 'expire',
    text: `with moved as (
        update messages m
           set state = 'expired', changed_at = now(), status_reason = 'nobody decided in time',
               dsn_owed = case when m.direction = 'outbound' and m.source in ('submission', 'trusted') then 'expired' end,
               wake_at = case when m.direction = 'outbound' and m.source in ('submission', 'trusted')
                              then now() + interval '5 seconds' end
          from holds h
         where m.id = any($1::text[]) and m.state = 'held'
           and h.message_id = m.id and h.closed_at is null and h.expires_at <= now()
        returning m.id, m.mailbox_id),
      closed as (update holds h set closed_at = now() from moved where h.message_id = moved.id and h.closed_at is null),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name,
          from_state, to_state)
        select 'message.expired', 'message', id, mailbox_id, 'system', 'policy', 'held', 'expired' from moved)
      select id from moved`,
    values: [ids],
  });
  return rows.map(({ id }) => id);
}

/**
 * A person's word on a message in doubt: send it again (`retry`), or take it as having arrived (`sent`) or
 * failed. Returns the state reached, or undefined when it was not in doubt.
 */
export async function settleDoubt(
  db: Db,
  messageId: string,
  outcome: 'retry' | 'sent' | 'failed',
  actor: Actor,
  reason: string | null,
): Promise<State | undefined> {
  const to = { retry: 'queued', sent: 'relayed', failed: 'failed' }[outcome];
  const recipientStatus = { retry: 'pending', sent: 'relayed', failed: 'failed' }[outcome];
  const { rows } = await db.query<{ state: State }>({
    name: 'settle-doubt',
    text: `with moved as (
        update messages m
           set state = $2, changed_at = now(), next_attempt_at = null, status_reason = $4::text,
               dsn_owed = case when $2 = 'failed' and m.kind = 'mail' and m.source in ('submission', 'trusted')
                               then 'failed' end,
               wake_at = case when $2 <> 'relayed' then now() + interval '5 seconds' end
         where m.id = $1 and m.state = 'in_doubt'
        returning m.id, m.mailbox_id, m.state),
      fared as (
        update recipients r set status = $3 from moved where r.message_id = moved.id and r.status = 'in_doubt'),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
          from_state, to_state, metadata)
        select 'message.settled', 'message', id, mailbox_id, $5, $6, $7, 'in_doubt', state,
               jsonb_build_object('outcome', $8::text, 'reason', $4::text) from moved)
      select state from moved`,
    values: [messageId, to, recipientStatus, reason, actor.type, actor.id, actor.name, outcome],
  });
  return rows[0]?.state;
}
