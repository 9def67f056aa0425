/**
 * Events of the audit log. Steps of messages write theirs in the statements that take them; what has no such
 * statement is written by `record`.
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

/** Columns of AuditEvent over `audit_events e`. */
export const COLUMNS = `e.seq, e.at, e.action, e.resource_type as "resourceType", e.resource_id as "resourceId",
  e.mailbox_id as "mailboxId", e.actor_type as "actorType", e.actor_id as "actorId", e.actor_name as "actorName",
  e.from_state as "fromState", e.to_state as "toState", e.metadata`;

/** The event at a place of the log. */
export async function readAuditEvent(db: Db, seq: number): Promise<AuditEvent | undefined> {
  const { rows } = await db.query<AuditEvent>({
    name: 'read-audit-event',
    text: `select ${COLUMNS} from audit_events e where e.seq = $1`,
    values: [seq],
  });
  return rows[0];
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
