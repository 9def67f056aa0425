/**
 * API keys: what a program shows to be let in. Only the SHA-256 of a key is kept, so nobody who reads this
 * table can use one.
 */
import { hash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import { type Batcher, batcher } from './batcher.ts';
import type { Database, Db } from './database.ts';
import { type PrincipalRef, principalCte } from './principals.ts';

export const SCOPES = ['read', 'send', 'oversight', 'oversight_read', 'admin'] as const;
export type Scope = (typeof SCOPES)[number];

/** A key as its owner may see it. */
export interface KeyFacts {
  id: string;
  name: string;
  /** The beginning of the key, by which people tell keys apart. */
  prefix: string;
  scopes: Scope[];
  principalId: string;
  principalKind: 'agent' | 'user' | 'system';
  principalName: string;
  owner: string | null;
  mailboxId: string | null;
  createdAt: Date;
  expiresAt: Date | null;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}

export interface NewKey {
  name: string;
  scopes: Scope[];
  principal: PrincipalRef;
  /** When given, the key sees and uses this mailbox only. */
  mailboxId?: string | null;
  expiresAt?: Date | null;
}

const SECRET_BYTES = 24; // 32 characters, 192 bits
const PREFIX_LENGTH = 14;
const FORM = /^mm_(live|test)_[A-Za-z0-9_-]{32}$/;

/** Whether the text could be a key at all; only then is it worth a look-up. */
export function looksLikeKey(text: string): boolean {
  return FORM.test(text);
}

const COLUMNS = `k.id, k.name, k.prefix, k.scopes, k.principal_id as "principalId", p.kind as "principalKind",
  p.name as "principalName", o.name as owner, k.mailbox_id as "mailboxId", k.created_at as "createdAt",
  k.expires_at as "expiresAt", k.last_used_at as "lastUsedAt", k.revoked_at as "revokedAt"`;
const TABLES = `api_keys k join principals p on p.id = k.principal_id left join principals o on o.id = p.owner_id`;

/**
 * Makes a key for the principal named (made too, if new). The key itself is in this answer and nowhere else.
 * Throws the database's check violation when `scopes` holds both send and oversight.
 */
export async function createKey(
  db: Db,
  key: NewKey,
  environment: 'live' | 'test',
  actor: Actor,
): Promise<{ id: string; apiKey: string; prefix: string }> {
  const apiKey = `mm_${environment}_${randomBytes(SECRET_BYTES).toString('base64url')}`;
  const made = { id: newId(), apiKey, prefix: apiKey.slice(0, PREFIX_LENGTH) };
  await db.query({
    text: `with ${principalCte(['$1', '$15'], '$2', '$3', '$4')},
      made as (
        insert into api_keys (id, name, prefix, hash, scopes, principal_id, mailbox_id, expires_at)
        select $5, $6, $7, $8, $9::text[], principal.id, $10, $11 from principal
        returning id, mailbox_id, principal_id)
      insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
      select 'key.created', 'key', id, mailbox_id, $12, $13, $14,
             jsonb_build_object('name', $6::text, 'prefix', $7::text, 'scopes', $9::text[], 'principal', $3::text)
        from made`,
    values: [
      newId(),
      key.principal.kind,
      key.principal.name,
      key.principal.owner ?? null,
      made.id,
      key.name,
      made.prefix,
      hashOf(apiKey),
      key.scopes,
      key.mailboxId ?? null,
      key.expiresAt ?? null,
      actor.type,
      actor.id,
      actor.name,
      newId(),
    ],
  });
  return made;
}

/** The key that was shown, if there is one; also when it is revoked or expired, so that the answer can say so. */
export async function findKey(db: Db, apiKey: string): Promise<KeyFacts | undefined> {
  const wanted = hashOf(apiKey);
  const { rows } = await db.query<KeyFacts & { hash: Buffer }>({
    name: 'find-key',
    text: `select ${COLUMNS}, k.hash from ${TABLES} where k.hash = $1`,
    values: [wanted],
  });
  const found = rows[0];
  if (found === undefined || !timingSafeEqual(found.hash, wanted)) return undefined;
  const { hash: _, ...facts } = found;
  return facts;
}

/**
 * `findKey` for a door at which many keys are shown: those shown while a look-up is under way are looked up together
 * in the next one. No answer is kept, so a key that was revoked before it was shown is never told as living.
 */
export function findingKeys(database: Database): Batcher<string, KeyFacts | undefined> {
  const lane = database.lane('keys');
  return batcher<string, KeyFacts | undefined>({
    async run(shown) {
      const wanted = shown.map(hashOf);
      const { rows } = await lane.query<KeyFacts & { hash: Buffer }>({
        name: 'find-keys',
        text: `select ${COLUMNS}, k.hash from ${TABLES} where k.hash = any($1::bytea[])`,
        values: [wanted],
      });
      return wanted.map((one) => {
        const found = rows.find(({ hash }) => timingSafeEqual(hash, one));
        if (found === undefined) return undefined;
        const { hash: _, ...facts } = found;
        return facts;
      });
    },
  });
}

export async function listKeys(db: Db): Promise<KeyFacts[]> {
  const { rows } = await db.query<KeyFacts>(`select ${COLUMNS} from ${TABLES} order by k.id desc`);
  return rows;
}

/** One key by its id, living or not. */
export async function readKey(db: Db, id: string): Promise<KeyFacts | undefined> {
  const { rows } = await db.query<KeyFacts>({
    text: `select ${COLUMNS} from ${TABLES} where k.id = $1`,
    values: [id],
  });
  return rows[0];
}

/**
 * Changes a living key and audits it. False when there is none of that id, or its scopes are others than `from`
 * where that is given.
 */
export async function updateKey(
  db: Db,
  id: string,
  {
    name = null,
    scopes = null,
    from = null,
  }: { name?: string | null; scopes?: Scope[] | null; from?: Scope[] | null },
  actor: Actor,
): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with before as (select id, name, scopes from api_keys
         where id = $1 and revoked_at is null and ($7::text[] is null or scopes = $7) for update),
      changed as (
        update api_keys k set name = coalesce($2::text, k.name), scopes = coalesce($3::text[], k.scopes)
          from before where k.id = before.id
        returning k.id, k.mailbox_id, k.name, k.scopes, before.name as was_name, before.scopes as was_scopes),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'key.updated', 'key', id, mailbox_id, $4, $5, $6,
               jsonb_build_object('from', jsonb_build_object('name', was_name, 'scopes', was_scopes),
                                  'to', jsonb_build_object('name', name, 'scopes', scopes))
          from changed where name <> was_name or scopes <> was_scopes)
      select id from changed`,
    values: [id, name, scopes, actor.type, actor.id, actor.name, from],
  });
  return rowCount === 1;
}

/** Ends a key at once. False when there is no such key; a key revoked before stays as it was. */
export async function revokeKey(db: Db, id: string, actor: Actor): Promise<boolean> {
  const { rows } = await db.query<{ known: boolean }>({
    text: `with gone as (
        update api_keys set revoked_at = now() where id = $1 and revoked_at is null returning id, mailbox_id, name, prefix),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'key.revoked', 'key', id, mailbox_id, $2, $3, $4, jsonb_build_object('name', name, 'prefix', prefix) from gone),
      sessions as (
        update operator_sessions s set ended_at = now() from gone where s.key_id = gone.id and s.ended_at is null)
      select exists (select 1 from api_keys where id = $1) as known`,
    values: [id, actor.type, actor.id, actor.name],
  });
  return rows[0]!.known;
}

/** Notes that a key was used; at most once a minute, so that reading does not become writing. */
export async function touchKey(db: Db, id: string): Promise<void> {
  await db.query({
    name: 'touch-key',
    text: `update api_keys set last_used_at = now()
            where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
    values: [id],
  });
}

/** Audits that a key was shown which is good no longer. */
export async function noteAuthFailure(db: Db, key: KeyFacts): Promise<void> {
  await db.query({
    text: `insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
           values ('auth.failed', 'key', $1, $2, 'key', $1, $3, jsonb_build_object('cause', $4::text, 'prefix', $5::text))`,
    values: [
      key.id,
      key.mailboxId,
      key.principalName,
      key.revokedAt !== null ? 'revoked' : 'expired',
      key.prefix,
    ],
  });
}

function hashOf(apiKey: string): Buffer {
  return hash('sha256', apiKey, 'buffer');
}
