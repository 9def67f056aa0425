/** Whom a `gated_send` mailbox may write to without approval. */
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { Pattern } from '../mail/pattern.ts';
import type { Db } from './database.ts';

export interface AllowlistEntry {
  id: string;
  pattern: string;
  note: string | null;
  createdAt: Date;
}

export async function listAllowlist(db: Db, mailboxId: string): Promise<AllowlistEntry[]> {
  const { rows } = await db.query<AllowlistEntry>({
    text: `select id, pattern, note, created_at as "createdAt" from allowlist_entries where mailbox_id = $1 order by id`,
    values: [mailboxId],
  });
  return rows;
}

/** Makes the allowlist of a mailbox exactly these patterns, auditing each that came or went. */
export async function setAllowlist(
  db: Db,
  mailboxId: string,
  patterns: Pattern[],
  actor: Actor,
): Promise<void> {
  await db.query({
    text: `with wanted as (select * from unnest($2::text[], $3::text[]) as t(id, pattern)),
      gone as (
        delete from allowlist_entries e
         where e.mailbox_id = $1 and not exists (select 1 from wanted w where w.pattern = e.pattern)
        returning pattern),
      come as (
        insert into allowlist_entries (id, mailbox_id, pattern) select id, $1, pattern from wanted
        on conflict (mailbox_id, pattern) do nothing returning pattern)
      insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
      select action, 'mailbox', $1, $1, $4, $5, $6, jsonb_build_object('pattern', pattern)
        from (select 'allowlist.removed' as action, pattern from gone
              union all select 'allowlist.added', pattern from come) as changes`,
    values: [mailboxId, patterns.map(() => newId()), patterns, actor.type, actor.id, actor.name],
  });
}

/** Adds patterns and audits each that was not there; returns those. */
export async function addToAllowlist(
  db: Db,
  mailboxId: string,
  patterns: Pattern[],
  actor: Actor,
): Promise<string[]> {
  const { rows } = await db.query<{ pattern: string }>({
    text: `with come as (
        insert into allowlist_entries (id, mailbox_id, pattern)
        select id, $1, pattern from unnest($2::text[], $3::text[]) as t(id, pattern)
        on conflict (mailbox_id, pattern) do nothing returning pattern),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'allowlist.added', 'mailbox', $1, $1, $4, $5, $6, jsonb_build_object('pattern', pattern) from come)
      select pattern from come`,
    values: [mailboxId, patterns.map(() => newId()), patterns, actor.type, actor.id, actor.name],
  });
  return rows.map(({ pattern }) => pattern);
}

/** Removes patterns and audits each that was there; returns those. What waits in the queue is asked anew. */
export async function removeFromAllowlist(
  db: Db,
  mailboxId: string,
  patterns: Pattern[],
  actor: Actor,
): Promise<string[]> {
  const { rows } = await db.query<{ pattern: string }>({
    text: `with gone as (
        delete from allowlist_entries where mailbox_id = $1 and pattern = any($2::text[]) returning pattern),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'allowlist.removed', 'mailbox', $1, $1, $3, $4, $5, jsonb_build_object('pattern', pattern) from gone)
      select pattern from gone`,
    values: [mailboxId, patterns, actor.type, actor.id, actor.name],
  });
  return rows.map(({ pattern }) => pattern);
}

/** Adds one pattern, audited. `added` is false when it was there: the entry is then as it was. */
export async function addAllowlistEntry(
  db: Db,
  mailboxId: string,
  { pattern, note }: { pattern: Pattern; note: string | null },
  actor: Actor,
): Promise<AllowlistEntry & { added: boolean }> {
  const { rows } = await db.query<AllowlistEntry & { added: boolean }>({
    text: `with come as (
        insert into allowlist_entries as e (id, mailbox_id, pattern, note) values ($2, $1, $3, $4)
        on conflict (mailbox_id, pattern) do update set pattern = excluded.pattern
        returning id, pattern, note, created_at, e.id = $2 as added),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'allowlist.added', 'mailbox', $1, $1, $5, $6, $7, jsonb_build_object('pattern', pattern)
          from come where added)
      select id, pattern, note, created_at as "createdAt", added from come`,
    values: [mailboxId, newId(), pattern, note, actor.type, actor.id, actor.name],
  });
  return rows[0]!;
}

export async function findAllowlistEntry(
  db: Db,
  mailboxId: string,
  { id = null, pattern = null }: { id?: string | null; pattern?: Pattern | null },
): Promise<AllowlistEntry | undefined> {
  const { rows } = await db.query<AllowlistEntry>({
    text: `select id, pattern, note, created_at as "createdAt" from allowlist_entries
            where mailbox_id = $1 and (id = $2 or pattern = $3)`,
    values: [mailboxId, id, pattern],
  });
  return rows[0];
}
