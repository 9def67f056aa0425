/** Tags of a message: set by whoever may send, each change with its audit row. */
import type { Actor } from '../mail/actor.ts';
import type { Db } from './database.ts';

export type Tags = Record<string, string>;

/** Merges tags into those of a message. Returns what it has then; null: it would have more than `most`. */
export async function mergeTags(
  db: Db,
  id: string,
  tags: Tags,
  { most, actor }: { most: number; actor: Actor },
): Promise<Tags | null> {
  const { rows } = await db.query<{ tags: Tags | null }>({
    name: 'merge-tags',
    text: `with before as (
        select id, tags, tags || $2::jsonb as merged from messages where id = $1 for update),
      fitting as (
        select * from before where (select count(*) from jsonb_object_keys(merged)) <= $3),
      moved as (
        update messages m set tags = fitting.merged from fitting
         where m.id = fitting.id and fitting.tags <> fitting.merged
        returning m.id, m.mailbox_id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'message.tagged', 'message', id, mailbox_id, $4, $5, $6, jsonb_build_object('tags', $2::jsonb) from moved)
      select fitting.merged as tags from before left join fitting using (id)`,
    values: [id, JSON.stringify(tags), most, actor.type, actor.id, actor.name],
  });
  return rows[0]?.tags ?? null;
}

/** Takes one tag off; false when the message did not have it. */
export async function deleteTag(db: Db, id: string, key: string, actor: Actor): Promise<boolean> {
  const { rowCount } = await db.query({
    name: 'delete-tag',
    text: `with moved as (
        update messages set tags = tags - $2::text where id = $1 and tags ? $2 returning id, mailbox_id),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_id, actor_name, metadata)
        select 'message.untagged', 'message', id, mailbox_id, $3, $4, $5, jsonb_build_object('tag', $2::text) from moved)
      select 1 from moved`,
    values: [id, key, actor.type, actor.id, actor.name],
  });
  return rowCount === 1;
}
