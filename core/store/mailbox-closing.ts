/** The end of a mailbox: nothing more comes in or leaves, and nobody is ever given its address again. */
import type { Actor } from '../mail/actor.ts';
import { statesBefore } from '../mail/lifecycle.ts';
import type { Database } from './database.ts';
import { REVOCATION_NOTICE } from './revocations.ts';
import { cancel } from './withdrawing.ts';

const WAITING = statesBefore('cancel');
const BATCH = 500;

/**
 * Closes a mailbox for good: its keys and logins work no longer, and what waits is cancelled. What was sent and
 * received stays. False when there is no such mailbox.
 */
export async function deleteMailbox(database: Database, id: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await database.pool.query({
    text: `with closed as (
          update mailboxes set deleted_at = now(), is_active = false, changed_at = now()
           where id = $1 and not is_system and deleted_at is null returning id, address),
        keys as (
          update api_keys k set revoked_at = now() from closed
           where k.mailbox_id = closed.id and k.revoked_at is null returning k.id, k.name, k.prefix),
        logins as (
          update submission_logins l set revoked_at = now() from closed
           where l.mailbox_id = closed.id and l.revoked_at is null returning l.id, l.username),
        hooks as (
          update webhooks w set deleted_at = now(), secret = '', previous_secret = null from closed
           where w.mailbox_id = closed.id and w.deleted_at is null),
        events as (
          insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
          select action, type, resource, $1, $2, $3, $4, metadata from (
            select 'mailbox.deleted', 'mailbox', id::text, jsonb_build_object('address', address) from closed
            union all select 'key.revoked', 'key', id, jsonb_build_object('name', name, 'prefix', prefix) from keys
            union all select 'login.revoked', 'login', id, jsonb_build_object('username', username) from logins
          ) as told(action, type, resource, metadata))
        select id, ${REVOCATION_NOTICE} from closed`,
    values: [id, actor.type, actor.id, actor.name],
  });
  const closed = rowCount === 1;
  // Its mail cannot leave any more, gate and doors see to that; this only says so of each message.
  if (closed) await cancelWaiting(database, id, actor);
  return closed;
}

async function cancelWaiting(database: Database, mailboxId: string, actor: Actor): Promise<void> {
  for (let after = ''; ; ) {
    const { rows } = await database.pool.query<{ id: string }>({
      text: `select id from messages where mailbox_id = $1 and state = any($2::text[]) and id > $3 order by id limit $4`,
      values: [mailboxId, WAITING, after, BATCH],
    });
    for (const { id } of rows) await cancel(database, id, actor);
    if (rows.length < BATCH) return;
    after = rows.at(-1)!.id;
  }
}
