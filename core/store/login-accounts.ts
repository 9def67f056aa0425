/** Submission logins as they are managed. The look-up at AUTH is in logins.ts. */
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';
import { type PrincipalRef, principalCte } from './principals.ts';
import { REVOCATION_NOTICE } from './revocations.ts';

export interface LoginFacts {
  id: string;
  username: string;
  mailboxId: string;
  mailbox: string;
  principalName: string;
  /** The user who answers for it. */
  owner: string | null;
  createdAt: Date;
  lastUsedAt: Date | null;
  revokedAt: Date | null;
}

export interface NewLogin {
  mailboxId: string;
  username: string;
  /** As `hashPassword` of core/store/passwords.ts writes it. */
  passwordHash: string;
  principal: PrincipalRef;
}

/** Makes a login. Undefined: the username is taken, by a revoked login too. */
export async function createLogin(
  db: Db,
  login: NewLogin,
  actor: Actor,
): Promise<{ id: string } | undefined> {
  const { rows } = await db.query<{ id: string }>({
    text: `with ${principalCte(['$1', '$12'], '$2', '$3', '$4')},
      made as (
        insert into submission_logins (id, mailbox_id, username, password_hash, principal_id)
        select $5, $6, $7, $8, principal.id from principal
        on conflict (username) do nothing returning id, mailbox_id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'login.created', 'login', id, mailbox_id, $9, $10, $11,
               jsonb_build_object('username', $7::text, 'principal', $3::text) from made)
      select id from made`,
    values: [
      newId(),
      login.principal.kind,
      login.principal.name,
      login.principal.owner ?? null,
      newId(),
      login.mailboxId,
      login.username,
      login.passwordHash,
      actor.type,
      actor.id,
      actor.name,
      newId(),
    ],
  });
  return rows[0];
}

export async function listLogins(db: Db): Promise<LoginFacts[]> {
  const { rows } = await db.query<LoginFacts>(
    `select l.id, l.username, l.mailbox_id as "mailboxId", b.address as mailbox, p.name as "principalName",
            o.name as owner, l.created_at as "createdAt", l.last_used_at as "lastUsedAt", l.revoked_at as "revokedAt"
       from submission_logins l join mailboxes b on b.id = l.mailbox_id join principals p on p.id = l.principal_id
       left join principals o on o.id = p.owner_id
      order by l.id desc`,
  );
  return rows;
}

/** Ends a login: open sessions send nothing more, and no new ones begin. False when there is no such login. */
export async function revokeLogin(db: Db, id: string, actor: Actor): Promise<boolean> {
  const { rows } = await db.query<{ known: boolean }>({
    text: `with gone as (
        update submission_logins set revoked_at = now() where id = $1 and revoked_at is null
        returning id, mailbox_id, username),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'login.revoked', 'login', id, mailbox_id, $2, $3, $4, jsonb_build_object('username', username) from gone)
      select exists (select 1 from submission_logins where id = $1) as known, ${REVOCATION_NOTICE}`,
    values: [id, actor.type, actor.id, actor.name],
  });
  return rows[0]!.known;
}
