/** Which mailbox a message belongs to, when that is all that is asked. */
import { isId } from '../mail/id.ts';
import type { Db } from './database.ts';

/** The mailbox of a message, or of a thread named by the message that began it. Undefined: there is no such message. */
export async function mailboxOfMessage(db: Db, id: string): Promise<string | undefined> {
  if (!isId(id)) return undefined;
  const { rows } = await db.query<{ mailboxId: string | null }>({
    name: 'mailbox-of-message',
    text: `select mailbox_id as "mailboxId" from messages where id = $1
           union all
           select mailbox_id from messages where thread_id = $1
           limit 1`,
    values: [id],
  });
  return rows[0]?.mailboxId ?? undefined;
}
