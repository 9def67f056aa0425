/**
 * Pages of the audit log. What is asked of the event alone is read along the log. What is asked of messages is
 * answered from the messages: when few match, by the keys of their events; when many do, their events are met soon,
 * so a stretch of the log is read and each event's message looked up, and only then the rest of it.
 */
import { type AuditEvent, COLUMNS } from './audit.ts';
import {
  type AuditFilter,
  asksOfMessage,
  ofEvent,
  ofMessage,
  ofRemoved,
  parameters,
} from './audit-filter.ts';
import type { Db } from './database.ts';

export interface AuditPage {
  order: 'newest' | 'oldest';
  /** The place of the last event seen. */
  beyond: number | null;
  limit: number;
}

/** So many messages are few: their events are fetched one by one in some 20 ms. */
const FEW = 2_000;
/** A message in fifty matches at least, so a stretch of this length fills most pages. */
const FIRST_STRETCH = 8_000;

/** One page, and whether there is another. */
export async function listAudit(
  db: Db,
  filter: AuditFilter,
  page: AuditPage,
): Promise<{ events: AuditEvent[]; more: boolean }> {
  const events = asksOfMessage(filter)
    ? await ofMessages(db, filter, page)
    : await alongTheLog(db, filter, page);
  return { events: events.slice(0, page.limit), more: events.length > page.limit };
}

async function alongTheLog(db: Db, filter: AuditFilter, page: AuditPage): Promise<AuditEvent[]> {
  const { values, bind } = parameters();
  const wheres = ofEvent(filter, bind);
  if (page.beyond !== null) wheres.push(`e.seq ${page.order === 'newest' ? '<' : '>'} ${bind(page.beyond)}`);
  return read(db, wheres, values, page);
}

async function ofMessages(db: Db, filter: AuditFilter, page: AuditPage): Promise<AuditEvent[]> {
  const edge = await edgeOfRemoved(db);
  const few = await fewMessages(db, filter, edge);
  if (few === undefined) return inStretches(db, filter, edge, page);
  if (few.length === 0) return [];
  const { agents: _, modes: __, tags: ___, from: ____, to: _____, ...ofEvents } = filter;
  return alongTheLog(db, { ...ofEvents, messageIds: few }, page);
}

/**
 * The id of the oldest message that is still kept, if the log speaks of older ones. Retention removes the oldest
 * first, so that what it removed is known by this.
 */
async function edgeOfRemoved(db: Db): Promise<string | null> {
  const { rows } = await db.query<{ edge: string }>(
    `select coalesce(min(id)::text, 'Z') as edge from messages`,
  );
  const { edge } = rows[0]!;
  const { rows: removed } = await db.query({
    text: `select from audit_events where resource_id < $1 and resource_type = 'message' limit 1`,
    values: [edge],
  });
  return removed.length > 0 ? edge : null;
}

/** The messages that match, unless there are too many. */
async function fewMessages(db: Db, filter: AuditFilter, edge: string | null): Promise<string[] | undefined> {
  const { values, bind } = parameters();
  const kept = ofMessage(filter, bind);
  const named = filter.messageIds === undefined ? null : `any(${bind(filter.messageIds)}::text[])`;
  if (named !== null) kept.push(`m.id = ${named}`);
  const parts = [`select m.id from messages m where ${kept.join(' and ')} limit ${FEW + 1}`];
  if (edge !== null) {
    const removed = [`a.resource_id < ${bind(edge)}`, ...ACCEPTED, ...ofRemoved(filter, bind)];
    if (named !== null) removed.push(`a.resource_id = ${named}`);
    parts.push(`select a.resource_id from audit_events a where ${removed.join(' and ')} limit ${FEW + 1}`);
  }
  const { rows } = await db.query<{ id: string }>({ text: `(${parts.join(') union all (')})`, values });
  return rows.length > FEW ? undefined : rows.map(({ id }) => id);
}

const ACCEPTED = [`a.resource_type = 'message'`, `a.action = 'message.accepted'`];

/** A stretch of the log, where each event's message is looked up; and if that is not enough, all the rest of it. */
async function inStretches(
  db: Db,
  filter: AuditFilter,
  edge: string | null,
  { order, beyond, limit }: AuditPage,
): Promise<AuditEvent[]> {
  const newest = order === 'newest';
  const at = beyond ?? (newest ? (await lastPlace(db)) + 1 : 0);
  const near = newest ? { from: at - FIRST_STRETCH, to: at } : { from: at + 1, to: at + FIRST_STRETCH };
  const far = newest ? { from: 0, to: near.from } : { from: near.to, to: Number.MAX_SAFE_INTEGER };
  const found: AuditEvent[] = [];
  for (const [stretch, look] of [
    [near, 'each'],
    [far, 'all'],
  ] as const) {
    const rest = { order, beyond: null, limit: limit - found.length };
    const kept = await ofKept(db, filter, stretch, look, rest);
    const removed = edge === null ? [] : await ofGone(db, filter, stretch, rest);
    found.push(...merged(kept, removed, order));
    if (found.length > limit) break;
  }
  return found;
}

interface Stretch {
  from: number;
  to: number;
}

/** `each` looks the message of each event up by its key; `all` first gathers the ids of all that match. */
function ofKept(db: Db, filter: AuditFilter, { from, to }: Stretch, look: 'each' | 'all', page: AuditPage) {
  const { values, bind } = parameters();
  const wheres = [
    `e.seq >= ${bind(from)} and e.seq < ${bind(to)} and e.resource_type = 'message'`,
    ...ofEvent(filter, bind),
  ];
  const matches = ofMessage(filter, bind).join(' and ');
  wheres.push(
    look === 'each'
      ? `exists (select from messages m where m.id = e.resource_id and ${matches})`
      : // "is true" keeps the planner from making a join of it, which would read the log to its end before it sorts.
        `(e.resource_id in (select m.id::text from messages m where ${matches})) is true`,
  );
  return read(db, wheres, values, page);
}

function ofGone(db: Db, filter: AuditFilter, { from, to }: Stretch, page: AuditPage) {
  const { values, bind } = parameters();
  const wheres = [
    `e.seq >= ${bind(from)} and e.seq < ${bind(to)} and e.resource_type = 'message'`,
    ...ofEvent(filter, bind),
    'not exists (select from messages m where m.id = e.resource_id)',
    `exists (select from audit_events a where a.resource_id = e.resource_id
       and ${[...ACCEPTED, ...ofRemoved(filter, bind)].join(' and ')})`,
  ];
  return read(db, wheres, values, page);
}

function merged(some: AuditEvent[], others: AuditEvent[], order: AuditPage['order']): AuditEvent[] {
  if (others.length === 0) return some;
  return [...some, ...others].sort((a, b) => (order === 'newest' ? b.seq - a.seq : a.seq - b.seq));
}

async function lastPlace(db: Db): Promise<number> {
  const { rows } = await db.query<{ last: number }>(
    'select coalesce(max(seq), 0)::bigint as last from audit_events',
  );
  return rows[0]!.last;
}

/** One row more than the page holds. */
async function read(
  db: Db,
  wheres: string[],
  values: unknown[],
  { order, limit }: AuditPage,
): Promise<AuditEvent[]> {
  const { rows } = await db.query<AuditEvent>({
    text: `select ${COLUMNS} from audit_events e ${wheres.length > 0 ? `where ${wheres.join(' and ')}` : ''}
            order by e.seq ${order === 'newest' ? 'desc' : 'asc'} limit $${values.push(limit + 1)}`,
    values,
  });
  return rows;
}
