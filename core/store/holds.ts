/** What waits for a reviewer. */
import type { Db } from './database.ts';
import { MESSAGE_COLUMNS, MESSAGE_TABLES, type MessageFacts } from './messages.ts';

export interface PendingMessage extends MessageFacts {
  threadId: string;
  contentId: string;
  reasons: string[] | null;
  heldAt: Date | null;
  expiresAt: Date | null;
}

export interface PendingFilter {
  mailboxId?: string | null;
  direction?: 'inbound' | 'outbound' | null;
  composerId?: string | null;
  tag?: { key: string; value: string | null } | null;
  /** What waits for a decision, or also what waits for none but has not been handed over. */
  include: 'decision' | 'queue';
  /** Continue behind this one; or with what came before a moment; or after so many. */
  beforeId?: string | null;
  before?: Date | null;
  offset?: number | null;
  limit: number;
}

/** What the filter asks of the message; only what is asked, so that the planner may begin with a rare tag. */
function conditions(
  { mailboxId, direction, composerId, tag, before }: PendingFilter,
  bind: (value: unknown) => string,
) {
  return [
    `m.spam_verdict is distinct from 'quarantined'`,
    ...(mailboxId == null ? [] : [`m.mailbox_id = ${bind(mailboxId)}`]),
    ...(direction == null ? [] : [`m.direction = ${bind(direction)}`]),
    ...(composerId == null ? [] : [`m.composer_id = ${bind(composerId)}`]),
    ...(before == null ? [] : [`m.created_at < ${bind(before)}`]),
    ...(tag == null ? [] : tagged(tag, bind)),
  ].join(' and ');
}

function tagged({ key, value }: { key: string; value: string | null }, bind: (value: unknown) => string) {
  const has = [`m.tags <> '{}'`, `m.tags ? ${bind(key)}`];
  return value === null ? has : [...has, `m.tags ->> ${bind(key)} = ${bind(value)}`];
}

/** A page, newest first. */
export async function listPending(
  db: Db,
  filter: PendingFilter,
): Promise<{ messages: PendingMessage[]; more: boolean }> {
  const values: unknown[] = [];
  const bind = (value: unknown) => `$${values.push(value)}`;
  const fits = conditions(filter, bind);
  const before = filter.beforeId == null ? null : bind(filter.beforeId);
  const skipped = filter.offset ?? 0;
  const limit = bind(skipped + filter.limit + 1);
  // Open holds stand in the order of their messages, so a page is read without looking at the rest.
  const held = `select m.id from holds h join messages m on m.id = h.message_id
     where h.closed_at is null and m.state = 'held' and ${fits}
       ${before === null ? '' : `and h.message_id < ${before}`}
     order by h.message_id desc limit ${limit}`;
  // wake_at is not null exactly for live mail, and its index is small however much mail was sent before.
  const queued = `select m.id from messages m
     where m.wake_at is not null and m.state in ('received', 'scheduled', 'queued') and m.kind = 'mail' and ${fits}
       ${before === null ? '' : `and m.id < ${before}`}
     order by m.id desc limit ${limit}`;
  const text =
    filter.include === 'decision'
      ? held
      : `select id from ((${held}) union (${queued})) as waiting order by id desc limit ${limit}`;
  const { rows: ids } = await db.query<{ id: string }>({ text, values });
  const page = ids.slice(skipped, skipped + filter.limit).map(({ id }) => id);
  return { messages: await readPending(db, page), more: ids.length > skipped + filter.limit };
}

/** In two questions, so that what is shown of a message is gathered for those of the page alone. */
async function readPending(db: Db, ids: string[]): Promise<PendingMessage[]> {
  if (ids.length === 0) return [];
  const { rows } = await db.query<PendingMessage>({
    name: 'read-pending',
    text: `select ${MESSAGE_COLUMNS}, coalesce(m.thread_id, m.id) as "threadId", m.content_id as "contentId",
        h.reasons, h.held_at as "heldAt", h.expires_at as "expiresAt"
      from ${MESSAGE_TABLES} left join holds h on h.message_id = m.id and h.closed_at is null
     where m.id = any($1::text[]) and not b.is_system
     order by m.id desc`,
    values: [ids],
  });
  return rows;
}
