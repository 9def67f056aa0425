/** What an export walks through, page by page, oldest first. */
import type { Db } from './database.ts';

/** Ids of messages after `after`. Postern's own mail is left out: it holds codes. */
export async function messageIds(db: Db, after: string, limit: number): Promise<string[]> {
  const { rows } = await db.query<{ id: string }>({
    text: `select m.id from messages m join mailboxes b on b.id = m.mailbox_id
            where m.id > $1 and not b.is_system order by m.id limit $2`,
    values: [after, limit],
  });
  return rows.map(({ id }) => id);
}
