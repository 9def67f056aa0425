/** Threads: a message that began one, and those that answer it. A thread bears the id of its first message. */
import type { Db } from './database.ts';
import { MESSAGE_COLUMNS, MESSAGE_TABLES, type MessageFacts } from './messages.ts';

/** So many messages of a thread are shown, the latest of them. */
const SHOWN = 500;

/** The mail of a thread of this mailbox, oldest first; without what Postern wrote about it. */
export async function listThread(db: Db, mailboxId: string, threadId: string): Promise<MessageFacts[]> {
  const { rows } = await db.query<MessageFacts>({
    name: 'list-thread',
    text: `with latest as materialized (
        select id from (
          select id, mailbox_id, kind, direction, place from messages where id = $2 and thread_id is null
          union all
          select id, mailbox_id, kind, direction, place from messages where thread_id = $2) m
         where m.mailbox_id = $1 and (m.kind = 'mail' or m.direction = 'inbound')
         order by coalesce(m.place, m.id) desc limit ${SHOWN})
      select ${MESSAGE_COLUMNS} from ${MESSAGE_TABLES} join latest on latest.id = m.id
       order by coalesce(m.place, m.id)`,
    values: [mailboxId, threadId],
  });
  return rows;
}
