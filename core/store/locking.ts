import type { Db } from './database.ts';

/**
 * Locks messages until the transaction ends, in one order for everybody, so that nobody deadlocks. The next
 * statement then sees all that others committed before: a single statement that has to wait for a row would
 * go on with that row as it is now, but with every other row as it was when it began.
 */
export async function lockMessages(db: Db, ids: string[]): Promise<void> {
  await db.query({
    name: 'lock-messages',
    text: 'select from messages where id = any($1::text[]) order by id for update',
    values: [ids],
  });
}
