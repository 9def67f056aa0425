/** A plan made while tables were small must not be kept: it would read all of them once they are large. */
import { afterAll, expect, test } from 'vitest';
import { newId } from '../../core/mail/id.ts';
import { openDatabase } from '../../core/store/database.ts';
import { standing } from '../../core/store/reviewing.ts';
import { countUnderway, sweep } from '../../core/store/sweep.ts';
import { freshDatabase } from '../support/database.ts';

const fresh = await freshDatabase();
const database = openDatabase({ url: fresh.url, poolSize: 1 });
afterAll(async () => {
  await database.close();
  await fresh.drop();
});

test('statements of the pool are planned for the tables as they are', async () => {
  for (let i = 0; i < 10; i++) await standing(database.pool, newId(), null);
  const { rows } = await database.pool.query(
    `select generic_plans::int, custom_plans::int from pg_prepared_statements where name = 'standing'`,
  );
  expect(rows).toEqual([{ generic_plans: 0, custom_plans: 10 }]);
});

async function insert(state: string, wake: string, count: number): Promise<void> {
  await database.pool.query(
    `insert into messages (id, kind, direction, source, state, mailbox_id, reverse_path, forward_paths, content_id, size,
       digest, facts, wake_at)
     select upper(substr(md5($1 || i), 1, 26)), 'mail', 'outbound', 'submission', $1, $2, '', '{b@y.example}', $2, 1,
       sha256('x'), '{}', now() + $3::interval from generate_series(1, $4) i`,
    [state, newId(), wake, count],
  );
}

test('what is on its way is counted without reading what is held, and a state nobody knows keeps nobody waiting', async () => {
  await insert('held', '7 days', 2000);
  await insert('queued', '1 hour', 3);
  await insert('mislaid', '-1 minute', 1);
  await insert('received', '-1 minute', 1);
  await database.pool.query('analyze messages');
  expect(await countUnderway(database.pool, 100)).toBe(4);
  const { rows } = await database.pool.query<{ 'QUERY PLAN': string }>(
    `explain (analyze) execute "count-underway"(100)`,
  );
  const removed = /Rows Removed by Filter: (\d+)/.exec(rows.map((row) => row['QUERY PLAN']).join('\n'))?.[1];
  expect(Number(removed ?? 0)).toBeLessThan(10);
  const due = await sweep(database.pool, 10);
  expect(due.policy).toHaveLength(1);
});
