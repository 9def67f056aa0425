import type { Actor } from '../mail/actor.ts';
import type { Mode } from '../mail/mode.ts';
import type { Db } from './database.ts';

/** Audits that somebody asked for a looser mode. Nothing is loosened by it. */
export async function noteUpgradeRequest(
  db: Db,
  mailbox: { id: string; oversightMode: Mode },
  target: Mode,
  actor: Actor,
): Promise<void> {
  await db.query({
    text: `insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
           values ('mode.upgrade_requested', 'mailbox', $1, $1, $2, $3, $4, jsonb_build_object('from', $5::text, 'to', $6::text))`,
    values: [mailbox.id, actor.type, actor.id, actor.name, mailbox.oversightMode, target],
  });
}
