/**
 * What the people who oversee have yet to be told of held mail: that it is held, that half its time is over, that it
 * has expired. Each is said once: who takes a hold here first tells it, in the transaction that takes it.
 */
import type { Db } from './database.ts';
import { tellProcesses } from './listening.ts';

export type Told = 'notified' | 'reminded' | 'expired';

/** A held message, as far as a notice speaks of it. */
export interface DueNotice {
  holdId: string;
  /** Whom to tell: the mailbox's oversight address, else the account's. */
  to: string;
  id: string;
  direction: 'inbound' | 'outbound';
  contentId: string;
  size: number;
  facts: unknown;
  subject: string;
  reversePath: string;
  forwardPaths: string[];
  mailbox: string;
  mode: string | null;
  agent: string | null;
  composer: string | null;
  sendAt: Date | null;
  /** Hex. */
  digest: string;
  reasons: string[];
  heldAt: Date;
  expiresAt: Date;
}

const WAITS = `h.closed_at is null and h.expires_at > now() and m.state = 'held'
  and m.spam_verdict is distinct from 'quarantined'`;
const HALF = '(h.held_at + (h.expires_at - h.held_at) / 2)';

const DUE: Record<Told, string> = {
  notified: `${WAITS} and h.notified_at is null`,
  // Who is told late needs no reminder at once.
  reminded: `${WAITS} and h.reminded_at is null and h.notified_at < ${HALF} and ${HALF} <= now()`,
  expired: 'h.expiry_owed',
};

/**
 * Up to `limit` holds of which to tell, among `messageIds` or all. Left out where nobody could be told: without an
 * oversight address, or one that is a mailbox of ours, where programs would read the link and where a notice could be
 * held itself. So too mail that is a notice of ours come back: it would have us write the next one.
 */
export async function dueNotices(
  db: Db,
  told: Told,
  messageIds: readonly string[] | null,
  limit: number,
): Promise<DueNotice[]> {
  const { rows } = await db.query<DueNotice>({
    name: `due-${told}`,
    text: `select h.id as "holdId", a.address as to, m.id, m.direction, m.content_id as "contentId", m.size, m.facts,
        m.subject, m.reverse_path as "reversePath", m.forward_paths as "forwardPaths", b.address as mailbox,
        m.effective_mode as mode, m.agent, p.name as composer, m.send_at as "sendAt",
        encode(m.digest, 'hex') as digest, h.reasons, h.held_at as "heldAt", h.expires_at as "expiresAt"
      from holds h
      join messages m on m.id = h.message_id
      join mailboxes b on b.id = m.mailbox_id
      left join principals p on p.id = m.composer_id
      cross join account
      cross join lateral (select coalesce(b.oversight_address, account.oversight_address) as address) a
     where ${DUE[told]} and ($1::text[] is null or h.message_id = any($1)) and m.kind = 'mail'
       and a.address is not null
       and not exists (select from mailboxes o
             where o.address_key in (lower(a.address), lower(regexp_replace(a.address, '\\+[^@]*@', '@'))))
       and not (m.direction = 'inbound' and exists (select from messages n
             where n.id = upper(substring(m.internet_message_id from '^<([0-9a-z]{26})@')) and n.kind = 'notice'))
     -- In the order of the index of what is open, or of what expired, so that no more is read than that.
     order by ${told === 'expired' ? 'h.id' : 'h.message_id'} limit $2`,
    values: [messageIds, limit],
  });
  return rows;
}

const TAKE: Record<Told, { set: string; free: string; action: string }> = {
  notified: {
    set: 'notified_at = now()',
    free: 'notified_at is null and closed_at is null',
    action: 'oversight.notified',
  },
  reminded: {
    set: 'reminded_at = now()',
    free: 'reminded_at is null and closed_at is null',
    action: 'oversight.reminded',
  },
  expired: { set: 'expiry_owed = false', free: 'expiry_owed', action: 'oversight.notified' },
};

/**
 * Takes holds to tell of, within a transaction that writes the notice as well, and audits that they were told.
 * Returns those that nobody else took and nobody decided on meanwhile.
 */
export async function takeNotices(db: Db, told: Told, holdIds: readonly string[]): Promise<string[]> {
  const { set, free, action } = TAKE[told];
  const { rows } = await db.query<{ id: string }>({
    name: `take-${told}`,
    text: `with taken as (
        update holds set ${set} where id = any($1::text[]) and ${free} returning id, message_id, mailbox_id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name, metadata)
        select $2, 'message', message_id, mailbox_id, 'system', 'api',
               jsonb_build_object('of', $3::text, 'together', (select count(*) from taken)) from taken)
      select id from taken`,
    values: [holdIds, action, OF[told]],
  });
  return rows.map(({ id }) => id);
}

const OF: Record<Told, string> = { notified: 'held', reminded: 'half_time', expired: 'expired' };

export const HELD_CHANNEL = 'postern_held';
/** A notice of the database holds less than 8000 octets. */
export const HELD_AT_ONCE = 280;

/** Tells the processes that write notices of messages that are held now; lost, it only makes somebody wait longer. */
export async function tellHeld(db: Db, messageIds: readonly string[]): Promise<void> {
  await tellProcesses(db, HELD_CHANNEL, messageIds.join(' '));
}
