/** What the audit log adds to an event of a message when it is read: the message as its row, or its acceptance, has it. */
import type { State } from '../mail/lifecycle.ts';
import type { AuditEvent } from './audit.ts';
import type { Db } from './database.ts';

export interface AuditSubject {
  id: string;
  direction: 'inbound' | 'outbound' | null;
  agent: string | null;
  from: string | null;
  to: string[];
  /** Null once the row is gone: then the event of its acceptance has the hash. */
  subject: string | null;
  subjectHash: string | null;
  requestedMode: string | null;
  effectiveMode: string | null;
  releasedBy: string | null;
  state: State | null;
  tags: Record<string, string>;
  decisions: { at: Date; by: string; decision: string; reason: string | null; digest: string }[];
}

const NOTHING = {
  direction: null,
  subject: null,
  subjectHash: null,
  requestedMode: null,
  effectiveMode: null,
  releasedBy: null,
  state: null,
  decisions: [],
};

/** The messages that these events speak of, by id. */
export async function subjectsOf(db: Db, events: AuditEvent[]): Promise<Map<string, AuditSubject>> {
  const ids = [
    ...new Set(events.filter(({ resourceType }) => resourceType === 'message').map((e) => e.resourceId)),
  ];
  if (ids.length === 0) return new Map();
  const [kept, decisions] = await Promise.all([keptMessages(db, ids), decisionsOn(db, ids)]);
  const found = new Map(kept.map((one) => [one.id, { ...NOTHING, ...one, decisions: [] } as AuditSubject]));
  const gone = ids.filter((id) => !found.has(id));
  for (const one of gone.length === 0 ? [] : await acceptances(db, gone)) found.set(one.id, one);
  for (const { messageId, ...decision } of decisions) found.get(messageId)?.decisions.push(decision);
  return found;
}

async function keptMessages(db: Db, ids: string[]) {
  const { rows } = await db.query<Omit<AuditSubject, 'decisions' | 'subjectHash'>>({
    name: 'audit-messages',
    text: `select id, direction, agent, reverse_path as "from", forward_paths as "to", subject,
        requested_mode as "requestedMode", effective_mode as "effectiveMode", released_by as "releasedBy", state, tags
      from messages where id = any($1::text[])`,
    values: [ids],
  });
  return rows;
}

async function decisionsOn(db: Db, ids: string[]) {
  const { rows } = await db.query<AuditSubject['decisions'][number] & { messageId: string }>({
    name: 'audit-decisions',
    text: `select message_id as "messageId", decided_at as at, principal_name as by, decision, reason,
        encode(digest, 'hex') as digest
      from approvals where message_id = any($1::text[]) order by id`,
    values: [ids],
  });
  return rows;
}

async function acceptances(db: Db, ids: string[]): Promise<AuditSubject[]> {
  const { rows } = await db.query<{ id: string; metadata: Record<string, unknown> }>({
    name: 'audit-acceptances',
    text: `select resource_id as id, metadata from audit_events
            where resource_id = any($1::text[]) and resource_type = 'message' and action = 'message.accepted'`,
    values: [ids],
  });
  return rows.map(({ id, metadata }) => ({
    ...NOTHING,
    id,
    direction: (metadata.direction ?? null) as AuditSubject['direction'],
    agent: (metadata.agent ?? null) as string | null,
    from: (metadata.from ?? null) as string | null,
    to: (metadata.to ?? []) as string[],
    subjectHash: (metadata.subject_hash ?? null) as string | null,
    requestedMode: (metadata.requested_mode ?? null) as string | null,
    tags: (metadata.tags ?? {}) as Record<string, string>,
    decisions: [],
  }));
}

/** Since which place of the log which policy was in force, oldest first. */
export async function policiesInForce(db: Db): Promise<{ seq: number; hash: string }[]> {
  const { rows } = await db.query<{ seq: number; hash: string }>({
    name: 'policies-in-force',
    text: `select seq, metadata ->> 'policy_hash' as hash from audit_events
            where resource_id = 'policy' and action = 'policy.changed' order by seq`,
  });
  return rows;
}

/** Notes in the log that another policy is in force from now on; does nothing when it is the same. */
export async function notePolicy(db: Db, hash: string, metadata: object): Promise<void> {
  await db.query({
    text: `insert into audit_events (action, resource_type, resource_id, actor_type, actor_name, metadata)
      select 'policy.changed', 'policy', 'policy', 'system', 'policy', $2::jsonb || jsonb_build_object('policy_hash', $1::text)
       where $1 is distinct from (select metadata ->> 'policy_hash' from audit_events
         where resource_id = 'policy' and action = 'policy.changed' order by seq desc limit 1)`,
    values: [hash, JSON.stringify(metadata)],
  });
}
