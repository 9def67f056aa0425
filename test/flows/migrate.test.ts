/** Bringing the schema up to date, as several processes do it when they start at once. */
import pg from 'pg';
import { expect, test } from 'vitest';
import { migrate, NewerSchema, pendingMigrations } from '../../core/store/migrate.ts';
import { freshDatabase } from '../support/database.ts';

test('processes that start at once wait for the one that migrates', async () => {
  const database = await freshDatabase({ empty: true });
  try {
    const ran = await Promise.all(Array.from({ length: 5 }, () => migrate(database.url)));
    expect(ran.filter((names) => names.length > 0)).toHaveLength(1);
    expect(await pendingMigrations(database.url)).toEqual([]);
  } finally {
    await database.drop();
  }
});

test('a database that a newer version has migrated is refused, and left as it is', async () => {
  const database = await freshDatabase();
  const client = new pg.Client({ connectionString: database.url });
  await client.connect();
  try {
    await client.query(`insert into schema_migrations (name, run_on) values ('9999_later', now())`);
    await expect(migrate(database.url)).rejects.toThrow(NewerSchema);
    await expect(migrate(database.url)).rejects.toThrow(/9999_later.*newer version/);
  } finally {
    await client.end();
    await database.drop();
  }
});
