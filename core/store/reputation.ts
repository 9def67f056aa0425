/** What the store can tell of an account's mail, as counts: no address and no message can be told from them. */
import { firstIdAt } from '../mail/id.ts';
import type { Db } from './database.ts';

export interface MailCounts {
  /** Mail that ended, one way or the other. */
  relayed: number;
  failed: number;
  /** Mail that a reviewer rejected. */
  rejected: number;
  complaints: number;
}

/** Of outgoing mail accepted in this time. */
export async function countMail(db: Db, since: Date, until: Date): Promise<MailCounts> {
  const { rows } = await db.query<MailCounts>({
    text: `select count(*) filter (where state = 'relayed') as relayed,
             count(*) filter (where state = 'failed') as failed,
             count(*) filter (where state = 'rejected') as rejected,
             (select count(*) from suppressions
               where reason = 'complaint' and created_at >= $3 and created_at < $4) as complaints
        from messages where id >= $1 and id < $2 and direction = 'outbound' and kind = 'mail'`,
    values: [firstIdAt(since.getTime()), firstIdAt(until.getTime()), since, until],
  });
  return rows[0]!;
}
