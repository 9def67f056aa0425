/**
 * The audit log as it is read. Steps of messages write their rows in the statements that take them; what has
 * no such statement is written by `record`.
 */
import type { Actor } from '../mail/actor.ts';
import type { Db } from './database.ts';

export interface AuditEvent {
  seq: number;
  at: Date;
  action: string;
  resourceType: string;
  resourceId: string;
  mailboxId: string | null;
  actorType: Actor['type'];
  actorId: string | null;
  actorName: string;
  fromState: string | null;
  toState: string | null;
  metadata: Record<string, unknown>;
}

export interface AuditFilter {
  /** Exact names, and prefixes that end in `*`. */
  actions?: string[];
  messageIds?: string[];
  mailboxIds?: string[];
  /** Ids or names. */
  actors?: string[];
  agents?: string[];
  modes?: string[];
  /** Addresses, or `*@domain`. */
  from?: string[];
  to?: string[];
  since?: Date | null;
  until?: Date | null;
}

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';

/** The id of an event: shaped as a ULID, its time and its place in the log. Ids sort as the log does within a millisecond. */
export function auditId({ at, seq }: Pick<AuditEvent, 'at' | 'seq'>): string {
  return base32(BigInt(at.getTime()), 10) + base32(BigInt(seq), 16);
}

/** The place in the log that an id names; undefined for what `auditId` never wrote. */
export function seqOf(id: string): number | undefined {
  if (!/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/.test(id)) return undefined;
  const seq = [...id.slice(10)].reduce((sum, digit) => sum * 32n + BigInt(ALPHABET.indexOf(digit)), 0n);
  return seq > 0n && seq <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seq) : undefined;
}

function base32(value: bigint, length: number): string {
  let text = '';
  for (let rest = value; text.length < length; rest /= 32n) text = ALPHABET[Number(rest % 32n)] + text;
  return text;
}

const COLUMNS = `seq, at, action, resource_type as "resourceType", resource_id as "resourceId",
  mailbox_id as "mailboxId", actor_type as "actorType", actor_id as "actorId", actor_name as "actorName",
  from_state as "fromState", to_state as "toState", metadata`;

/** A page of the log: newest first, or oldest first from `after` on. */
export async function listAudit(
  db: Db,
  filter: AuditFilter,
  page: { order: 'newest' | 'oldest'; beyond: number | null; limit: number },
): Promise<{ events: AuditEvent[]; more: boolean }> {
  const wheres: string[] = [];
  const values: unknown[] = [];
  const bind = (value: unknown) => `$${values.push(value)}`;
  if (page.beyond !== null) wheres.push(`seq ${page.order === 'newest' ? '<' : '>'} ${bind(page.beyond)}`);
  for (const condition of conditions(filter, bind)) wheres.push(condition);
  const { rows } = await db.query<AuditEvent>({
    text: `select ${COLUMNS} from audit_events ${wheres.length > 0 ? `where ${wheres.join(' and ')}` : ''}
            order by seq ${page.order === 'newest' ? 'desc' : 'asc'} limit ${bind(page.limit + 1)}`,
    values,
  });
  return { events: rows.slice(0, page.limit), more: rows.length > page.limit };
}

function conditions(filter: AuditFilter, bind: (value: unknown) => string): string[] {
  const found: string[] = [];
  const { actions = [], messageIds = [], mailboxIds = [], actors = [], agents = [], modes = [] } = filter;
  if (actions.length > 0) found.push(`action like any(${bind(actions.map(asPattern))}::text[])`);
  if (messageIds.length > 0)
    found.push(`resource_type = 'message' and resource_id = any(${bind(messageIds)}::text[])`);
  if (mailboxIds.length > 0) found.push(`mailbox_id = any(${bind(mailboxIds)}::text[])`);
  if (actors.length > 0) {
    const names = bind(actors);
    found.push(`(actor_name = any(${names}::text[]) or actor_id = any(${names}::text[]))`);
  }
  if (agents.length > 0) found.push(`metadata ->> 'agent' = any(${bind(agents)}::text[])`);
  if (modes.length > 0) found.push(`metadata ->> 'effective_mode' = any(${bind(modes)}::text[])`);
  if (filter.from !== undefined && filter.from.length > 0)
    found.push(`lower(metadata ->> 'from') like any(${bind(filter.from.map(asAddressPattern))}::text[])`);
  if (filter.to !== undefined && filter.to.length > 0)
    found.push(
      `jsonb_typeof(metadata -> 'to') = 'array' and exists (select 1 from jsonb_array_elements_text(metadata -> 'to') path
        where lower(path) like any(${bind(filter.to.map(asAddressPattern))}::text[]))`,
    );
  if (filter.since) found.push(`at >= ${bind(filter.since)}`);
  if (filter.until) found.push(`at < ${bind(filter.until)}`);
  return found;
}

/** A LIKE pattern that means exactly the text, or everything that begins with it where it ends in `*`. */
function asPattern(text: string): string {
  return text.endsWith('*') ? `${literally(text.slice(0, -1))}%` : literally(text);
}

function asAddressPattern(text: string): string {
  const lower = text.toLowerCase();
  return lower.startsWith('*@') ? `%${literally(lower.slice(1))}` : literally(lower);
}

function literally(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}

export interface AuditRecord {
  action: string;
  resourceType: string;
  resourceId: string;
  mailboxId?: string | null;
  actor: Actor;
  metadata?: object;
}

/** Writes an event that accompanies no other statement, such as a refused approval or an export. */
export async function record(db: Db, event: AuditRecord): Promise<void> {
  await db.query({
    name: 'record-audit',
    text: `insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
           values ($1, $2, $3, $4, $5, $6, $7, $8::jsonb)`,
    values: [
      event.action,
      event.resourceType,
      event.resourceId,
      event.mailboxId ?? null,
      event.actor.type,
      event.actor.id,
      event.actor.name,
      JSON.stringify(event.metadata ?? {}),
    ],
  });
}
