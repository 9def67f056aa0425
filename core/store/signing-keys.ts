/** The keys that sign what Postern says of mail, approvals and its audit log. One signs; the others are remembered. */
import type { Actor } from '../mail/actor.ts';
import type { NewSigningKey, PublicJwk } from '../mail/token.ts';
import type { Db } from './database.ts';

export interface KeyFacts {
  kid: string;
  publicJwk: PublicJwk;
  createdAt: Date;
  retiredAt: Date | null;
  /** PEM; null once it is retired, for nothing may be signed by it any more. Never told outside the process. */
  privateKey: string | null;
}

/** How long a process that has not heard of a rotation may go on signing with the retired key. */
export const GRACE_MS = 5 * 60_000;

const COLUMNS = `kid, public_jwk as "publicJwk", created_at as "createdAt", retired_at as "retiredAt",
  private_key as "privateKey"`;

/** The current key first, then the retired ones, newest first. */
export async function readSigningKeys(db: Db): Promise<KeyFacts[]> {
  const { rows } = await db.query<KeyFacts>({
    name: 'read-signing-keys',
    text: `select ${COLUMNS} from signing_keys order by retired_at desc nulls first`,
  });
  return rows;
}

/** Makes `fresh` the key that signs, unless there is one. Of several processes that ask at once, one makes it. */
export async function ensureSigningKey(db: Db, fresh: NewSigningKey): Promise<void> {
  await db.query({
    text: `insert into signing_keys (kid, private_key, public_jwk) values ($1, $2, $3)
           on conflict ((true)) where retired_at is null do nothing`,
    values: [fresh.kid, fresh.privateKey, JSON.stringify(fresh.publicJwk)],
  });
}

/**
 * From now on `fresh` signs. What the old key signed holds for good, and its private half is forgotten. Returns
 * the name of the old one.
 */
export async function rotateSigningKey(db: Db, fresh: NewSigningKey, actor: Actor): Promise<string | null> {
  // Two statements in one transaction of the caller's: the unique index would see both keys within one.
  const { rows } = await db.query<{ kid: string }>({
    text: `update signing_keys set retired_at = now(), private_key = null where retired_at is null returning kid`,
  });
  const previous = rows[0]?.kid ?? null;
  await db.query({
    text: `with made as (
        insert into signing_keys (kid, private_key, public_jwk) values ($1, $2, $3) returning kid),
      told as (select pg_notify('signing_keys', kid) from made)
      insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
      select 'identity.key_rotated', 'signing_key', kid, $4, $5, $6, jsonb_build_object('previous', $7::text)
        from made, told`,
    values: [
      fresh.kid,
      fresh.privateKey,
      JSON.stringify(fresh.publicJwk),
      actor.type,
      actor.id,
      actor.name,
      previous,
    ],
  });
  return previous;
}
