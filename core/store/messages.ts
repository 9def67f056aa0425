/** A message as it is shown: its row, how each recipient fares, why it waits, who decided. */
import type { RecipientStatus, State } from '../mail/lifecycle.ts';
import type { Mode } from '../mail/mode.ts';
import type { Db } from './database.ts';
import type { NewMessage } from './new-message.ts';

/** What every listing shows of a message; never its text. */
export interface MessageFacts {
  id: string;
  kind: NewMessage['kind'];
  direction: NewMessage['direction'];
  source: NewMessage['source'];
  state: State;
  mailboxId: string;
  mailbox: string;
  composerId: string | null;
  composerKind: string | null;
  composerName: string | null;
  aboutId: string | null;
  reversePath: string;
  forwardPaths: string[];
  size: number;
  digest: string;
  internetMessageId: string | null;
  subject: string;
  facts: unknown;
  tags: Record<string, string>;
  agent: string | null;
  requestedMode: Mode | null;
  effectiveMode: Mode | null;
  mailboxMode: Mode;
  releasedBy: 'mode' | 'allowlist' | 'approval' | 'postern' | null;
  sendAt: Date | null;
  gateTiming: 'gate_first' | 'schedule_first';
  statusReason: string | null;
  attempts: number;
  nextAttemptAt: Date | null;
  createdAt: Date;
  changedAt: Date;
  contentId: string;
  /** Of the message that began the thread; null for that one itself. */
  threadId: string | null;
  /** Where it stands in lists: its id, or a later one if it was let in late. */
  place: string;
  /** Of inbound mail; null is unread. */
  inboxStatus: 'read' | 'archived' | 'deleted' | null;
  spamVerdict: 'clean' | 'flagged' | 'quarantined' | null;
  spamScore: number | null;
  userLabel: 'spam' | 'not_spam' | null;
  recipients: RecipientFacts[];
}

export interface RecipientFacts {
  address: string;
  status: RecipientStatus;
  code: number | null;
  enhanced: string | null;
  text: string | null;
  nextHop: string | null;
  settledAt: string | null;
}

/** The same with its holds, decisions and attempts. */
export interface MessageRecord extends MessageFacts {
  route: string | null;
  leaseOwner: string | null;
  leaseUntil: Date | null;
  hold: { reasons: string[]; heldAt: Date; expiresAt: Date } | null;
  decisions: DecisionFacts[];
  lastAttempt: AttemptFacts | null;
}

export interface DecisionFacts {
  id: string;
  decision: 'approve' | 'reject';
  by: string;
  at: string;
  reason: string | null;
  digest: string;
}

export interface AttemptFacts {
  n: number;
  startedAt: string;
  endedAt: string | null;
  route: string | null;
  nextHop: string | null;
  outcome: string | null;
  reply: string | null;
}

/** Columns of MessageFacts over the tables below. */
export const MESSAGE_COLUMNS = `m.id, m.kind, m.direction, m.source, m.state, m.mailbox_id as "mailboxId",
  b.address as mailbox, m.composer_id as "composerId", p.kind as "composerKind", p.name as "composerName",
  m.about_id as "aboutId", m.reverse_path as "reversePath", m.forward_paths as "forwardPaths", m.size,
  encode(m.digest, 'hex') as digest, m.internet_message_id as "internetMessageId", m.subject, m.facts, m.tags, m.agent,
  m.requested_mode as "requestedMode", m.effective_mode as "effectiveMode", b.oversight_mode as "mailboxMode",
  m.released_by as "releasedBy", m.send_at as "sendAt", coalesce(m.gate_timing, b.gate_timing) as "gateTiming",
  m.status_reason as "statusReason", m.attempts, m.next_attempt_at as "nextAttemptAt", m.created_at as "createdAt",
  m.changed_at as "changedAt", m.content_id as "contentId", m.thread_id as "threadId",
  coalesce(m.place, m.id) as place, m.inbox_status as "inboxStatus", m.spam_verdict as "spamVerdict",
  m.spam_score as "spamScore", m.user_label as "userLabel",
  coalesce((select json_agg(json_build_object('address', r.address, 'status', r.status, 'code', r.reply_code,
      'enhanced', r.reply_enhanced, 'text', r.reply_text, 'nextHop', r.next_hop, 'settledAt', r.settled_at) order by r.n)
    from recipients r where r.message_id = m.id), '[]') as recipients`;

export const MESSAGE_TABLES = `messages m join mailboxes b on b.id = m.mailbox_id
  left join principals p on p.id = m.composer_id`;

/**
 * One message; undefined when there is none, when it belongs to another mailbox than `onlyMailbox`, or when it is
 * of Postern's own mailbox, whose mail holds codes.
 */
export async function readMessage(
  db: Db,
  id: string,
  onlyMailbox: string | null,
): Promise<MessageRecord | undefined> {
  const { rows } = await db.query<MessageRecord>({
    name: 'read-message',
    text: `select ${MESSAGE_COLUMNS}, b.route, m.lease_owner as "leaseOwner", w.lease_until as "leaseUntil",
        (select json_build_object('reasons', h.reasons, 'heldAt', h.held_at, 'expiresAt', h.expires_at)
           from holds h where h.message_id = m.id and h.closed_at is null) as hold,
        coalesce((select json_agg(json_build_object('id', a.id, 'decision', a.decision, 'by', a.principal_name,
            'at', a.decided_at, 'reason', a.reason, 'digest', encode(a.digest, 'hex')) order by a.id)
          from approvals a where a.message_id = m.id), '[]') as decisions,
        (select json_build_object('n', t.n, 'startedAt', t.started_at, 'endedAt', t.ended_at, 'route', t.route,
            'nextHop', t.next_hop, 'outcome', t.outcome, 'reply', t.reply)
           from attempts t where t.message_id = m.id order by t.n desc limit 1) as "lastAttempt"
      from ${MESSAGE_TABLES} left join workers w on w.id = m.lease_owner
     where m.id = $1 and ($2::text is null or m.mailbox_id = $2) and not b.is_system`,
    values: [id, onlyMailbox],
  });
  const row = rows[0];
  if (row?.hold) {
    row.hold.heldAt = new Date(row.hold.heldAt);
    row.hold.expiresAt = new Date(row.hold.expiresAt);
  }
  return row;
}

/** The stored bytes of a message: as accepted, and as they are sent. */
export async function readRaw(db: Db, id: string, onlyMailbox: string | null): Promise<Buffer | undefined> {
  const { rows } = await db.query<{ bytes: Buffer }>({
    name: 'read-raw',
    text: `select c.bytes from messages m join contents c on c.id = m.content_id
             join mailboxes b on b.id = m.mailbox_id
            where m.id = $1 and ($2::text is null or m.mailbox_id = $2) and not b.is_system`,
    values: [id, onlyMailbox],
  });
  return rows[0]?.bytes;
}
