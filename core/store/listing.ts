/**
 * Lists of messages, page by page. First the ids of a page are found, in the order of an index; then those rows
 * alone are read in full. A page ends with a cursor that names the last place on it, so pages neither repeat nor
 * skip a message while mail arrives.
 *
 *   place   of a message is its id, or the later id it got when it was let in from hold or quarantine
 */
import { firstIdAt } from '../mail/id.ts';
import type { State } from '../mail/lifecycle.ts';
import type { Db } from './database.ts';
import { MESSAGE_COLUMNS, MESSAGE_TABLES, type MessageFacts } from './messages.ts';
import { anyStatus, type Status } from './status-filter.ts';

export interface Page {
  messages: MessageFacts[];
  more: boolean;
}

/** Where a page begins; at most one is not null. */
export interface Beginning {
  /** Behind this place, in the direction the list runs. */
  afterId: string | null;
  /** With what was received before this moment. */
  before: Date | null;
  offset: number | null;
}

export interface MailboxFilter {
  mailboxId: string;
  /** Null: whatever can be read; held inbound mail is left out. */
  statuses: readonly Status[] | null;
  /** Leaves out inbound mail that was never let in and never will be. */
  letIn?: boolean;
  direction?: 'inbound' | 'outbound' | null;
  /** What came after this message, oldest first; without it, newest first. */
  sinceId?: string | null;
  /** Part of the address that is shown as the sender's. */
  sender?: string | null;
  subjectContains?: string | null;
  /** A key with any value, or with exactly this one. */
  tag?: { key: string; value: string | null } | null;
  since?: Date | null;
  until?: Date | null;
  hasAttachments?: boolean | null;
  begin: Beginning;
  limit: number;
}

const PLACE = 'coalesce(m.place, m.id)';
/** What Postern wrote about mail is no mail of the mailbox, unless it came in there. */
const NOT_OURS = `(m.kind = 'mail' or m.direction = 'inbound')`;
/** A commit may come this much later than its id was made. */
const SETTLED_MS = 1_000;

/** The mail of one mailbox. */
export async function listMailbox(db: Db, filter: MailboxFilter): Promise<Page> {
  const { bind, values } = binder();
  const forward = filter.sinceId != null;
  const wheres = [`m.mailbox_id = ${bind(filter.mailboxId)}`, NOT_OURS, ...conditions(filter, bind)];
  let blocks = 'false';
  if (filter.statuses !== null) {
    const wanted = anyStatus(filter.statuses);
    // Who polls by since_id must not get past mail that has come and is judged only later.
    if (forward && filter.statuses.some((status) => status !== 'pending_scan')) {
      const unjudged = `(m.direction = 'inbound' and m.state = 'received')`;
      const both = filter.statuses.every((status) => status === 'unread' || status === 'spam_flagged')
        ? `m.direction = 'inbound' and m.inbox_status is null and `
        : '';
      wheres.push(`${both}(${wanted} or ${unjudged})`);
      blocks = `(${unjudged} and not ${wanted})`;
    } else wheres.push(wanted);
  } else wheres.push(`not (m.state = 'held' and m.direction = 'inbound')`);
  if (forward) {
    if (filter.begin.afterId === null) {
      const since = bind(filter.sinceId);
      wheres.push(
        `${PLACE} > coalesce((select coalesce(s.place, s.id) from messages s where s.id = ${since}), ${since}::ulid)`,
      );
    }
    wheres.push(`${PLACE} < ${bind(firstIdAt(Date.now() - SETTLED_MS))}`);
  }
  if (filter.begin.afterId !== null)
    wheres.push(`${PLACE} ${forward ? '>' : '<'} ${bind(filter.begin.afterId)}`);
  const { rows } = await db.query<MessageFacts & { blocks: boolean }>({
    text: pageQuery({
      wheres,
      order: forward ? 'asc' : 'desc',
      limit: bind(filter.limit + 1),
      offset: bind(filter.begin.offset ?? 0),
      blocks,
    }),
    values,
  });
  const blocked = rows.findIndex((row) => row.blocks);
  return pageOf(blocked === -1 ? rows : rows.slice(0, blocked), filter.limit);
}

function conditions(filter: MailboxFilter, bind: (value: unknown) => string): string[] {
  const wheres: string[] = [];
  if (filter.letIn === true)
    wheres.push(`not (m.direction = 'inbound' and m.state in ('rejected', 'expired', 'cancelled'))`);
  if (filter.direction != null) wheres.push(`m.direction = ${bind(filter.direction)}`);
  if (filter.sender != null) {
    const part = bind(filter.sender.toLowerCase());
    wheres.push(`position(${part} in lower(coalesce(m.facts #>> '{from,0,address}', m.reverse_path))) > 0`);
  }
  if (filter.subjectContains != null)
    wheres.push(`position(${bind(filter.subjectContains.toLowerCase())} in lower(m.subject)) > 0`);
  if (filter.tag != null) wheres.push(...tagged(filter.tag, bind));
  if (filter.since != null) {
    wheres.push(`m.created_at >= ${bind(filter.since)}`);
    // An id is made before its row is, so by far less than this; nothing can be let in before it came.
    wheres.push(`${PLACE} >= ${bind(firstIdAt(filter.since.getTime() - 3_600_000))}`);
  }
  if (filter.until != null) wheres.push(`m.created_at < ${bind(filter.until)}`);
  if (filter.begin.before !== null) wheres.push(`m.created_at < ${bind(filter.begin.before)}`);
  if (filter.hasAttachments != null) wheres.push(`${filter.hasAttachments ? '' : 'not '}${HAS_ATTACHMENTS}`);
  return wheres;
}

const HAS_ATTACHMENTS = `coalesce(m.facts @? '$.attachments[0]', false)`;

function tagged(tag: { key: string; value: string | null }, bind: (value: unknown) => string): string[] {
  // The first is what the index of tagged mail is about.
  if (tag.value === null) return [`m.tags <> '{}'`, `m.tags ? ${bind(tag.key)}`];
  return [`m.tags <> '{}'`, `m.tags @> ${bind(JSON.stringify({ [tag.key]: tag.value }))}::jsonb`];
}

export interface SpamFilter {
  /** Null for all mailboxes. */
  mailboxId: string | null;
  statuses: readonly ('spam_flagged' | 'spam_quarantined')[];
  begin: Beginning;
  limit: number;
}

/** Flagged and quarantined mail, newest first. */
export async function listSpamMail(db: Db, filter: SpamFilter): Promise<Page> {
  const { bind, values } = binder();
  const wheres = [`m.spam_verdict in ('flagged', 'quarantined')`, anyStatus(filter.statuses)];
  if (filter.mailboxId !== null) wheres.push(`m.mailbox_id = ${bind(filter.mailboxId)}`);
  if (filter.begin.afterId !== null) wheres.push(`${PLACE} < ${bind(filter.begin.afterId)}`);
  if (filter.begin.before !== null) wheres.push(`m.created_at < ${bind(filter.begin.before)}`);
  const { rows } = await db.query<MessageFacts>({
    text: pageQuery({
      wheres,
      order: 'desc',
      limit: bind(filter.limit + 1),
      offset: bind(filter.begin.offset ?? 0),
    }),
    values,
  });
  return pageOf(rows, filter.limit);
}

export interface QueueFilter {
  /** Null for all mailboxes. */
  mailboxId: string | null;
  states: readonly State[] | null;
  kind: MessageFacts['kind'] | null;
  afterId: string | null;
  limit: number;
}

/** Mail of all mailboxes, by where it is in its life; newest first. */
export async function listQueue(db: Db, filter: QueueFilter): Promise<Page> {
  const { bind, values } = binder();
  const wheres = ['not exists (select 1 from mailboxes s where s.id = m.mailbox_id and s.is_system)'];
  if (filter.mailboxId !== null) wheres.push(`m.mailbox_id = ${bind(filter.mailboxId)}`);
  if (filter.states !== null) wheres.push(`m.state = any(${bind(filter.states)}::text[])`);
  // Such mail always has somebody to wake, and the index of that is small however much mail there was.
  if (filter.states?.every((state) => LIVE.includes(state))) wheres.push('m.wake_at is not null');
  if (filter.kind !== null) wheres.push(`m.kind = ${bind(filter.kind)}`);
  if (filter.afterId !== null) wheres.push(`m.id < ${bind(filter.afterId)}`);
  const limit = bind(filter.limit + 1);
  const { rows } = await db.query<MessageFacts>({
    text: pageQuery({ wheres, order: 'desc', limit, offset: '0', place: 'm.id' }),
    values,
  });
  return pageOf(rows, filter.limit);
}

const LIVE: readonly State[] = ['received', 'held', 'scheduled', 'queued', 'relaying'];

/** Messages by their ids that are new mail in their mailboxes: what waits for mail is told of these. */
export async function readNewMail(db: Db, ids: readonly string[]): Promise<MessageFacts[]> {
  const { rows } = await db.query<MessageFacts>({
    name: 'read-new-mail',
    text: `select ${MESSAGE_COLUMNS} from ${MESSAGE_TABLES}
            where m.id = any($1::text[]) and ${anyStatus(['unread'])} order by ${PLACE}`,
    values: [ids],
  });
  return rows;
}

/** New mail of a mailbox that stands behind a place, oldest first. */
export async function listNewMail(db: Db, mailboxId: string, since: string): Promise<MessageFacts[]> {
  const { rows } = await db.query<MessageFacts>({
    text: pageQuery({
      wheres: [`m.mailbox_id = $1`, `${PLACE} > $2`, anyStatus(['unread'])],
      order: 'asc',
      limit: '$3',
      offset: '0',
    }),
    values: [mailboxId, since, 100],
  });
  return rows;
}

/** The last place that is taken in a mailbox; the first there can be when it is empty. */
export async function newestPlace(db: Db, mailboxId: string): Promise<string> {
  const { rows } = await db.query<{ place: string }>({
    name: 'newest-place',
    text: `select ${PLACE} as place from messages m where m.mailbox_id = $1 order by ${PLACE} desc limit 1`,
    values: [mailboxId],
  });
  return rows[0]?.place ?? firstIdAt(0);
}

interface PageQuery {
  wheres: string[];
  order: 'asc' | 'desc';
  limit: string;
  offset: string;
  place?: string;
  blocks?: string;
}

/** One more row than the page holds is read, so that `more` is known. */
function pageQuery({ wheres, order, limit, offset, place = PLACE, blocks = 'false' }: PageQuery): string {
  return `with page as materialized (
      select m.id, ${place} as at, ${blocks} as blocks from messages m
       where ${wheres.join('\n         and ')}
       order by ${place} ${order} limit ${limit} offset ${offset})
    select ${MESSAGE_COLUMNS}, page.blocks from ${MESSAGE_TABLES} join page on page.id = m.id
     order by page.at ${order}`;
}

function pageOf(rows: MessageFacts[], limit: number): Page {
  return { messages: rows.slice(0, limit), more: rows.length > limit };
}

function binder(): { bind: (value: unknown) => string; values: unknown[] } {
  const values: unknown[] = [];
  return { values, bind: (value) => `$${values.push(value)}` };
}
