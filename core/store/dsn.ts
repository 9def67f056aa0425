/** The report a message owes its sender: what it has to say, and the one statement that pays the debt. */
import type { RecipientStatus, State } from '../mail/lifecycle.ts';
import { announce } from './arrivals.ts';
import { insertContents, packContents } from './contents.ts';
import type { Db } from './database.ts';
import { insertMessages, type NewContent, type NewMessage, ROW_COLUMNS, toRow } from './new-message.ts';

export type DsnOwed = 'failed' | 'delayed' | 'rejected' | 'expired' | 'unknown';

/** A message that owes a report, with everything the report may say. */
export interface Debt {
  id: string;
  owed: DsnOwed;
  kind: 'mail' | 'dsn' | 'copy' | 'notice';
  source: 'submission' | 'trusted' | 'mx' | 'rest' | 'postern';
  state: State;
  mailboxId: string;
  mailboxAddress: string;
  reversePath: string;
  /** The active mailbox of ours that the reverse-path names, if it does. */
  localId: string | null;
  localAddress: string | null;
  internetMessageId: string | null;
  createdAt: Date;
  queuedAt: Date;
  /** How many attempts had begun: what is said here is true of the message after that many. */
  attempts: number;
  statusReason: string | null;
  /** A reviewer ended it; else policy did, for `statusReason`. */
  reviewed: boolean;
  /** What the reviewer gave as reason. */
  rejectReason: string | null;
  recipients: DebtRecipient[];
  lastAttemptAt: Date | null;
  /** The first 64 kB of what was sent: its header. */
  head: Buffer | null;
}

export interface DebtRecipient {
  n: number;
  address: string;
  status: RecipientStatus;
  code: number | null;
  enhanced: string | null;
  text: string | null;
  nextHop: string | null;
  reported: boolean;
}

/** The debt, or undefined when none is owed (any more). */
export async function readDebt(db: Db, id: string): Promise<Debt | undefined> {
  const { rows } = await db.query<Debt>({
    name: 'read-debt',
    text: `select m.id, m.dsn_owed as owed, m.kind, m.source, m.state, m.mailbox_id as "mailboxId",
        b.address as "mailboxAddress", m.reverse_path as "reversePath", l.id as "localId",
        l.address as "localAddress", m.internet_message_id as "internetMessageId", m.created_at as "createdAt",
        coalesce(m.queued_at, m.created_at) as "queuedAt",
        m.attempts, m.status_reason as "statusReason",
        exists (select 1 from approvals a where a.message_id = m.id and a.decision = 'reject') as reviewed,
        (select a.reason from approvals a where a.message_id = m.id and a.decision = 'reject'
          order by a.decided_at desc limit 1) as "rejectReason",
        (select json_agg(json_build_object('n', r.n, 'address', r.address, 'status', r.status, 'code', r.reply_code,
            'enhanced', r.reply_enhanced, 'text', r.reply_text, 'nextHop', r.next_hop, 'reported', r.reported)
            order by r.n)
           from recipients r where r.message_id = m.id) as recipients,
        (select max(a.started_at) from attempts a where a.message_id = m.id) as "lastAttemptAt",
        (select substring(c.bytes from 1 for 65536) from contents c where c.id = m.content_id) as head
      from messages m
      join mailboxes b on b.id = m.mailbox_id
      left join mailboxes l on l.address_key = lower(m.reverse_path) and l.is_active
     where m.id = $1 and m.dsn_owed is not null`,
    values: [id],
  });
  return rows[0];
}

/** How a debt is paid: by a report, by a line in the audit, or by nothing where nothing was left to say. */
export interface Payment {
  id: string;
  owed: DsnOwed;
  /** Those of the debt that was read: what is owed after another attempt is another debt. */
  attempts: number;
  /** Places of the recipients the report speaks of as failed. */
  reported: number[];
  report: { content: NewContent; message: NewMessage } | null;
  audit: { action: string; metadata: object } | null;
}

const PAY = `with taken as (
    update messages m
       set dsn_owed = null,
           -- Only an end owes nothing more: whatever lives keeps a wake-up.
           wake_at = case when m.state in ('failed', 'rejected', 'expired', 'relayed', 'cancelled') then null
                          when m.state = 'queued' then greatest(coalesce(m.next_attempt_at, m.wake_at), now())
                          else m.wake_at end
     where m.id = $1 and m.dsn_owed = $2 and m.attempts = $9
    returning m.id, m.mailbox_id),
  told as (
    update recipients r set reported = true from taken where r.message_id = taken.id and r.n = any($3::int[])),
  ${insertContents('$4', '$5', 'exists (select 1 from taken)')},
  reports as (
    select t.* from json_to_recordset($6::json) as t(${ROW_COLUMNS}) join taken on taken.id = t.about_id),
  ${insertMessages('reports')},
  audited as (
    insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name, metadata)
    select $7, 'message', id, mailbox_id, 'system', 'delivery', $8::jsonb from taken where $7::text is not null)
  select id from taken`;

/** Pays a debt: of several who try, one does. True: it was this one, and report, mark and audit stand together. */
export async function pay(db: Db, payment: Payment): Promise<boolean> {
  const { id, owed, attempts, reported, report, audit } = payment;
  const [index, bytes] = packContents(report === null ? [] : [report.content]);
  const messages = report === null ? [] : [toRow(report.message)];
  const { rowCount } = await db.query({
    name: 'pay-debt',
    text: PAY,
    values: [
      id,
      owed,
      reported,
      index,
      bytes,
      JSON.stringify(messages),
      audit?.action ?? null,
      JSON.stringify(audit?.metadata ?? {}),
      attempts,
    ],
  });
  const paid = rowCount === 1;
  if (paid && report?.message.state === 'available') await announce(db, [report.message]);
  return paid;
}
