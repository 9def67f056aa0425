/** What was sent a moment ago, so that the same content is not sent twice because somebody asked twice. */
import type { Db } from './database.ts';

/** As long as the longest window that can be set (`api.duplicate_window`). */
const KEPT = `interval '1 hour'`;

/** Deletes up to `limit` rows that nothing can run into any more; returns how many. */
export async function forgetSends(db: Db, limit: number): Promise<number> {
  const { rowCount } = await db.query({
    name: 'forget-sends',
    text: `delete from recent_sends r
            using (select mailbox_id, fingerprint from recent_sends
                    where created_at < now() - ${KEPT} limit $1 for update skip locked) old
            where r.mailbox_id = old.mailbox_id and r.fingerprint = old.fingerprint`,
    values: [limit],
  });
  return rowCount ?? 0;
}
