import pg from 'pg';
import { expect, test } from 'vitest';
import { freshDatabase } from '../support/database.ts';

test('a fresh database has the schema, no rows, and is gone after drop', async () => {
  const database = await freshDatabase();
  const other = await freshDatabase();
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => {});
  await client.connect();
  const { rows } = await client.query('select count(*)::int as rows from messages');
  expect(rows).toEqual([{ rows: 0 }]);
  expect(other.url).not.toBe(database.url);
  await Promise.all([database.drop(), other.drop()]);
  await expect(client.query('select 1')).rejects.toThrow();
  const gone = new pg.Client({ connectionString: database.url });
  await expect(gone.connect()).rejects.toThrow(/does not exist/);
});
