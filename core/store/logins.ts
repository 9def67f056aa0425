/** What the door asks about a login. How logins are managed is in login-accounts.ts. */
import type { Mode } from '../mail/mode.ts';
import type { Db } from './database.ts';

/** A login with the mailbox it is bound to, as they stand this moment. */
export interface Login {
  id: string;
  username: string;
  passwordHash: string;
  principalId: string;
  mailboxId: string;
  /** Canonical. */
  address: string;
  mode: Mode;
  revoked: boolean;
  mailboxActive: boolean;
  /** Nothing may be sent by anybody. */
  sendingDisabled: boolean;
}

const LOGIN = `select l.id, l.username, l.password_hash as "passwordHash", l.principal_id as "principalId",
    l.mailbox_id as "mailboxId", b.address, b.oversight_mode as mode, l.revoked_at is not null as revoked,
    b.is_active as "mailboxActive", coalesce((select sending_disabled from account), false) as "sendingDisabled"
  from submission_logins l join mailboxes b on b.id = l.mailbox_id`;

/** The login of that name, revoked or not; usernames are compared as they were given out. */
export async function findLogin(db: Db, username: string): Promise<Login | undefined> {
  const { rows } = await db.query<Login>({
    name: 'find-login',
    text: `${LOGIN} where l.username = $1`,
    values: [username],
  });
  return rows[0];
}

/** The same login later in its session. */
export async function readLogin(db: Db, id: string): Promise<Login | undefined> {
  const { rows } = await db.query<Login>({
    name: 'read-login',
    text: `${LOGIN} where l.id = $1`,
    values: [id],
  });
  return rows[0];
}

/** Notes when a login was used last; to the minute, so that a busy client does not rewrite its row each time. */
export async function touchLogin(db: Db, id: string): Promise<void> {
  await db.query({
    name: 'touch-login',
    text: `update submission_logins set last_used_at = now()
            where id = $1 and (last_used_at is null or last_used_at < now() - interval '1 minute')`,
    values: [id],
  });
}
