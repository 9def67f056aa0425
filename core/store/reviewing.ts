import type { Actor } from '../mail/actor.ts';
import type { State } from '../mail/lifecycle.ts';
import { announce } from './arrivals.ts';
import type { Database, Db } from './database.ts';
import { lockMessages } from './locking.ts';
import { UNATTENDED } from './new-message.ts';

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
  /** Whether who edited the message may approve it. */
  editorMayApprove: boolean;
  /** Says in our name that this was approved; what it returns is kept with the approval. */
  receipt(approved: Approved): string;
}

/** What a receipt is over. */
export interface Approved {
  approval: string;
  approver: string;
  at: Date;
  contentDigest: string;
  /** Of the policy in force; null when none was ever recorded. */
  policyHash: string | null;
}

/** Who handed mail in by SMTP is told by DSN how it ended; REST asks for the status; strangers get nothing. */
const OWES_DSN = `m.kind = 'mail' and m.direction = 'outbound' and m.source in ('submission', 'trusted')`;

const EDITED = 'exists (select from revisions e where e.message_id = m.id and e.edited_by_id = $5)';

const DECIDE = `with moved as (
    update messages m
       set state = case
             when $3 = 'reject' then 'rejected'
             when m.direction = 'inbound' then 'available'
             when m.send_at > now() then 'scheduled'
             else 'queued' end,
           released_by = case when $3 = 'approve' then 'approval' end,
           dsn_owed = case when $3 = 'reject' and ${OWES_DSN} then 'rejected' end,
           status_reason = $8::text, changed_at = now(), next_attempt_at = null,
           queued_at = case when $3 = 'approve' then now() end,
           place = case when $3 = 'approve' and m.direction = 'inbound' then $1 else m.place end,
           wake_at = case
             when $3 = 'approve' and m.direction = 'inbound' then null
             when $3 = 'approve' and m.send_at > now() then m.send_at
             when $3 = 'approve' or (${OWES_DSN}) then now() + ${UNATTENDED} end
      from mailboxes b
     where m.id = $2 and m.state = 'held' and m.digest = decode($4, 'hex') and b.id = m.mailbox_id
       and not composed_by(m.composer_id, $5)
       and m.spam_verdict is distinct from 'quarantined'
       and ($3 = 'reject' or $12 or not ${EDITED})
       and ($3 = 'reject' or m.direction = 'inbound' or (b.is_active and b.oversight_mode <> 'read_only'))
       and exists (select 1 from holds h where h.message_id = m.id and h.closed_at is null and h.expires_at > now())
    returning m.id, m.mailbox_id, m.state, m.digest),
  recorded as (
    insert into approvals (id, message_id, decision, digest, principal_id, principal_name, reason, decided_at)
    select $1, id, $3, digest, $5, $6, $7, clock_timestamp() from moved
    returning decided_at),
  closed as (update holds h set closed_at = now() from moved where h.message_id = moved.id and h.closed_at is null),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name,
      from_state, to_state, metadata)
    select case $3 when 'approve' then 'message.approved' else 'message.rejected' end, 'message', id, mailbox_id,
           $9, $10, $11, 'held', state,
           jsonb_build_object('approval', jsonb_build_object('id', $1::text, 'by', $6::text, 'by_id', $5::text,
             'at', to_char(recorded.decided_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
             'decision', $3::text, 'reason', $7::text, 'content_hash', $4::text))
      from moved, recorded)
  select state, recorded.decided_at as at, mailbox_id as "mailboxId",
         (select metadata ->> 'policy_hash' from audit_events
           where resource_id = 'policy' and action = 'policy.changed' order by seq desc limit 1) as "policyHash"
    from moved, recorded`;

/**
 * Writes a decision on a held message: state, approval, hold and audit together. Returns the state reached, or
 * undefined when nothing was changed (see `standing` for the reason): the message is no longer held, its digest
 * differs, its hold has expired by the database's clock, its mailbox lets nothing out, the decider composed it, or
 * edited it where editors may not approve.
 */
export async function decide(
  database: Database,
  decision: Decision,
): Promise<{ state: State; at: Date } | undefined> {
  const values = [
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
    decision.editorMayApprove,
  ];
  return database.transaction(async (db) => {
    await lockMessages(db, [decision.messageId]);
    const { rows } = await db.query<Moved>({ name: 'decide', text: DECIDE, values });
    const [moved] = rows;
    if (moved !== undefined && decision.decision === 'approve') await keepReceipt(db, decision, moved);
    if (moved?.state === 'available')
      await announce(db, [{ mailboxId: moved.mailboxId, id: decision.messageId }]);
    return moved;
  });
}

interface Moved {
  mailboxId: string;
  state: State;
  at: Date;
  policyHash: string | null;
}

/** In the transaction of the approval: there is none without its receipt. */
async function keepReceipt(db: Db, decision: Decision, { at, policyHash }: Moved): Promise<void> {
  const approver = decision.principal.name;
  const approved = { approval: decision.id, approver, at, contentDigest: decision.digest, policyHash };
  await db.query({
    name: 'keep-receipt',
    text: 'update approvals set receipt = $2 where id = $1',
    values: [decision.id, decision.receipt(approved)],
  });
}

/** How a message stands towards someone who would decide on it, so that a refused step can say why. */
export interface Standing {
  state: State;
  /** Hex. */
  digest: string;
  /** The decider is the composer, or on the composer's side. */
  isOwn: boolean;
  /** The decider edited it. */
  edited: boolean;
  /** It is kept apart as spam: that is no question for a decision. */
  quarantined: boolean;
  holdExpired: boolean;
  /** The mailbox lets nothing out, whoever approves. */
  shut: 'closed' | 'read_only' | null;
  /** An attempt reached a recipient, or may have. */
  handedOff: boolean;
  /** The latest decision. */
  decision: 'approve' | 'reject' | null;
  decidedDigest: string | null;
  decidedById: string | null;
  decidedBy: string | null;
  decidedAt: Date | null;
}

/** How a message stands towards `principalId` (null for nobody in particular), or undefined when there is none. */
export async function standing(
  db: Db,
  messageId: string,
  principalId: string | null,
): Promise<Standing | undefined> {
  const { rows } = await db.query<Standing>({
    name: 'standing',
    text: `select m.state, encode(m.digest, 'hex') as digest,
        coalesce(composed_by(m.composer_id, $2), false) as "isOwn",
        exists (select from revisions e where e.message_id = m.id and e.edited_by_id = $2) as edited,
        m.spam_verdict is not distinct from 'quarantined' as quarantined,
        exists (select 1 from holds h where h.message_id = m.id and h.closed_at is null and h.expires_at <= now())
          as "holdExpired",
        case when m.direction = 'inbound' then null when not b.is_active then 'closed'
             when b.oversight_mode = 'read_only' then 'read_only' end as shut,
        exists (select 1 from recipients r where r.message_id = m.id and r.status in ('relayed', 'in_doubt'))
          as "handedOff",
        a.decision, encode(a.digest, 'hex') as "decidedDigest", a.principal_id as "decidedById",
        a.principal_name as "decidedBy", a.decided_at as "decidedAt"
      from messages m
      join mailboxes b on b.id = m.mailbox_id
      left join lateral (
        select * from approvals a where a.message_id = m.id order by a.decided_at desc, a.id desc limit 1) a on true
     where m.id = $1`,
    values: [messageId, principalId],
  });
  return rows[0];
}

/** Envelope and content as they are stored now: what the message's digest has to name. */
export interface StoredContent {
  digest: string;
  reversePath: string;
  forwardPaths: string[];
  /** Where delivery would take it; equal to the forward-paths unless someone meddled. Empty for inbound mail. */
  recipients: string[];
  direction: 'inbound' | 'outbound';
  /** Of the bytes themselves, computed by the database at this moment. */
  contentSha256: Buffer;
}

/** Reads what an approval is about to vouch for; undefined when message or bytes are gone. */
export async function readStoredContent(db: Db, messageId: string): Promise<StoredContent | undefined> {
  const { rows } = await db.query<StoredContent>({
    name: 'stored-content',
    text: `select encode(m.digest, 'hex') as digest, m.reverse_path as "reversePath", m.direction,
        m.forward_paths as "forwardPaths", sha256(c.bytes) as "contentSha256",
        array(select r.address from recipients r where r.message_id = m.id order by r.n) as recipients
      from messages m join contents c on c.id = m.content_id
     where m.id = $1`,
    values: [messageId],
  });
  return rows[0];
}

const EXPIRE = `with moved as (
    update messages m
       set state = 'expired', changed_at = now(), status_reason = 'nobody decided in time',
           dsn_owed = case when ${OWES_DSN} then 'expired' end,
           wake_at = case when ${OWES_DSN} then now() + ${UNATTENDED} end
      from holds h
     where m.id = any($1::text[]) and m.state = 'held'
       and h.message_id = m.id and h.closed_at is null and h.expires_at <= now()
    returning m.id, m.mailbox_id, m.dsn_owed,
      m.kind = 'mail' and m.direction = 'inbound' and m.spam_verdict is distinct from 'quarantined' as telling),
  closed as (
    update holds h set closed_at = now(), expiry_owed = moved.telling from moved
     where h.message_id = moved.id and h.closed_at is null),
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name,
      from_state, to_state)
    select 'message.expired', 'message', id, mailbox_id, 'system', 'policy', 'held', 'expired' from moved)
  select id, dsn_owed is not null as "dsnOwed" from moved`;

/** Ends holds whose time has passed among `ids` (never sent; the sender is told). */
export async function expire(database: Database, ids: string[]): Promise<{ id: string; dsnOwed: boolean }[]> {
  return database.transaction(async (db) => {
    await lockMessages(db, ids);
    const { rows } = await db.query<{ id: string; dsnOwed: boolean }>({
      name: 'expire',
      text: EXPIRE,
      values: [ids],
    });
    return rows;
  });
}
