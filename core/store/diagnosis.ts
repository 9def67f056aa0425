/** What an operator wants to know about the database before trusting it with mail. */
import type { Db } from './database.ts';

export interface DatabaseFacts {
  /** As in `180004`. */
  version: number;
  now: Date;
  readOnly: boolean;
  synchronousCommit: string;
  fsync: string;
}

export async function diagnose(db: Db): Promise<DatabaseFacts> {
  const { rows } = await db.query<DatabaseFacts>(
    `select current_setting('server_version_num')::int as version, clock_timestamp() as now,
            pg_is_in_recovery() or current_setting('transaction_read_only')::bool as "readOnly",
            current_setting('synchronous_commit') as "synchronousCommit", current_setting('fsync') as fsync`,
  );
  return rows[0]!;
}
