/** Messages whose fate a crash or a broken connection made unknown. */
import type { Db } from './database.ts';

/** Lets messages in doubt wait for a person and asks again later. Returns how many still wait. */
export async function remindLater(db: Db, ids: string[], seconds: number): Promise<number> {
  const { rowCount } = await db.query({
    name: 'remind-later',
    text: `update messages set wake_at = now() + make_interval(secs => $2)
            where id = any($1::text[]) and state = 'in_doubt'`,
    values: [ids, seconds],
  });
  return rowCount ?? 0;
}

/**
 * Ends messages in doubt that nobody settled in time: failed, with a report that says that their fate is
 * unknown. Whoever was still to be tried beside those in doubt has had as much time. Returns the ids it ended.
 */
export async function abandonDoubt(db: Db, ids: string[], reason: string): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    name: 'abandon-doubt',
    text: `with ended as (
        update messages m
           set state = 'failed', status_reason = $2, changed_at = now(),
               dsn_owed = case when m.source <> 'rest' then 'unknown' end,
               wake_at = case when m.source <> 'rest' then now() + interval '5 seconds' end
         where m.id = any($1::text[]) and m.state = 'in_doubt'
        returning m.id, m.mailbox_id),
      fared as (
        update recipients r set status = 'failed', settled_at = now(), reply_text = coalesce(r.reply_text, $2)
          from ended where r.message_id = ended.id and r.status in ('in_doubt', 'deferred', 'pending')),
      audited as (
        insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name,
          from_state, to_state, metadata)
        select 'message.failed', 'message', id, mailbox_id, 'system', 'delivery', 'in_doubt', 'failed',
               jsonb_build_object('reason', $2::text) from ended)
      select id from ended`,
    values: [ids, reason],
  });
  return rows.map(({ id }) => id);
}

/** Those of `ids` that are in doubt. */
export async function stillInDoubt(db: Db, ids: string[]): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    name: 'still-in-doubt',
    text: `select id from messages where id = any($1::text[]) and state = 'in_doubt'`,
    values: [ids],
  });
  return rows.map(({ id }) => id);
}
