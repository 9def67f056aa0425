import type { Actor } from '../mail/actor.ts';
import type { Db } from './database.ts';

/**
 * Binds a DID to a mailbox, or takes it away with null; audited. Its mail may then carry the delegation that the
 * caller gives, in X-Agent-Identity. False: it was bound already.
 */
export async function bindDid(db: Db, mailboxId: string, did: string | null, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    text: `with before as (select id, did from mailboxes where id = $1 for update),
      changed as (
        update mailboxes m set did = $2, changed_at = now() from before b
         where m.id = b.id and b.did is distinct from $2::text returning m.id, b.did as was)
      insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
      select 'mailbox.updated', 'mailbox', id, id, $3, $4, $5,
             jsonb_build_object('did', jsonb_build_object('from', was, 'to', $2::text)) from changed`,
    values: [mailboxId, did, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}
