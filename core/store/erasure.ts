/**
 * The end of the account: its mail, contacts, allowlists, webhooks and keys are gone when the transaction commits,
 * and its mailboxes are closed. People, the audit log and its checkpoints stay, and so do suppressions: who asked
 * for no more mail has asked for it of this sender. Their addresses are given to nobody else.
 */
import type { Actor } from '../mail/actor.ts';
import type { Database, Db } from './database.ts';
import { REVOCATION_NOTICE } from './revocations.ts';

/** Emptied, not deleted from row by row: then the bytes are off the disk at once, and not when somebody tidies up. */
const EMPTIED = [
  'messages',
  'contents',
  'recipients',
  'holds',
  'approvals',
  'attempts',
  'captures',
  'compositions',
  'revisions',
  'recent_sends',
  'idempotency_keys',
  'idempotent_requests',
  'contacts',
  'allowlist_entries',
  'webhooks',
  'operator_codes',
  'operator_sessions',
  'api_keys',
];

const DEADLOCK = '40P01';

/** Erases it, audited. Where other work and this one wait for each other, it is tried again. */
export async function eraseAccount(database: Database, accountId: string, actor: Actor): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await database.transaction((db) => erase(db, accountId, actor));
    } catch (err) {
      if ((err as { code?: string }).code !== DEADLOCK || tries === 5) throw err;
    }
  }
}

async function erase(db: Db, accountId: string, actor: Actor): Promise<void> {
  // Closed first: nothing that the doors take from now on gets past the gate.
  await db.query({
    text: `with closed as (
        update mailboxes
           set is_active = false, deleted_at = coalesce(deleted_at, now()), display_name = null, oversight_address = null,
               auto_cc = null, auto_bcc = null, webhook_url = null, oversight_webhook_url = null,
               signature_block = null, changed_at = now()
         where not is_system returning id, deleted_at),
      ended as (
        update submission_logins set revoked_at = now() where revoked_at is null returning id, mailbox_id)
      insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name)
      select action, type, id, mailbox_id, $1, $2, $3 from (
        select 'mailbox.deleted', 'mailbox', id::text, id::text from closed where deleted_at = now()
        union all select 'login.revoked', 'login', id, mailbox_id from ended
      ) as told(action, type, id, mailbox_id)`,
    values: [actor.type, actor.id, actor.name],
  });
  await db.query(`truncate ${EMPTIED.join(', ')}`);
  await db.query({
    text: `with audited as (
        insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name)
        values ('account.erased', 'account', $1, $2, $3, $4))
      select ${REVOCATION_NOTICE}`,
    values: [accountId, actor.type, actor.id, actor.name],
  });
}
