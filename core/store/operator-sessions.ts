/** Operator sessions: for a quarter of an hour after a code, one admin key needs none for lesser operations. */
import { hash, randomBytes } from 'node:crypto';
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

export interface OperatorSession {
  id: string;
  expiresAt: Date;
}

/** Begins a session of the key, which ends any that it has. `token` is for a cookie, and kept here as a hash alone. */
export async function beginSession(
  db: Db,
  keyId: string,
  lifeSeconds: number,
  actor: Actor,
): Promise<OperatorSession & { token: string }> {
  const token = randomBytes(32).toString('base64url');
  await endSessions(db, keyId, actor);
  const { rows } = await db.query<OperatorSession>({
    text: `with begun as (
        insert into operator_sessions (id, key_id, token_hash, expires_at)
        values ($1, $2, $3, now() + make_interval(secs => $4)) returning id, expires_at),
      audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
        select 'session.started', 'session', id, $5, $6, $7, '{}' from begun)
      select id, expires_at as "expiresAt" from begun`,
    values: [newId(), keyId, hash('sha256', token, 'buffer'), lifeSeconds, actor.type, actor.id, actor.name],
  });
  return { ...rows[0]!, token };
}

/** The session the key has now. */
export async function currentSession(db: Db, keyId: string): Promise<OperatorSession | undefined> {
  const { rows } = await db.query<OperatorSession>({
    text: `select id, expires_at as "expiresAt" from operator_sessions
            where key_id = $1 and ended_at is null and expires_at > now()`,
    values: [keyId],
  });
  return rows[0];
}

/** Ends what sessions the key has. */
export async function endSessions(db: Db, keyId: string, actor: Actor): Promise<void> {
  await db.query({
    text: `with ended as (
        update operator_sessions set ended_at = now()
         where key_id = $1 and ended_at is null returning id, expires_at)
      insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
      select 'session.ended', 'session', id, $2, $3, $4, '{}' from ended where expires_at > now()`,
    values: [keyId, actor.type, actor.id, actor.name],
  });
}

/** Deletes sessions that are long over; returns how many. The audit log keeps that they were. */
export async function forgetSessions(db: Db, limit: number): Promise<number> {
  const { rowCount } = await db.query({
    text: `delete from operator_sessions where id in (
             select id from operator_sessions where expires_at < now() - interval '30 days' limit $1)`,
    values: [limit],
  });
  return rowCount ?? 0;
}
