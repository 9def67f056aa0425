/** A plan made while tables were small must not be kept: it would read all of them once they are large. */
import { afterAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { firstIdAt, newId } from '../../core/mail/id.ts';
import { ensureAccount } from '../../core/store/account.ts';
import { type Db, openDatabase } from '../../core/store/database.ts';
import { listMailbox, type MailboxFilter } from '../../core/store/listing.ts';
import { dueNotices, type Told } from '../../core/store/notifying.ts';
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

const mailboxId = newId();
const begin = { afterId: null, before: null, offset: null };

/** A mailbox with mail: one message in a hundred is unread, one in five hundred has a tag of its own. */
async function fillMailbox(count: number): Promise<string[]> {
  await database.pool.query(
    `insert into mailboxes (id, address, address_key, oversight_mode) values ($1, 'a@ours.example', 'a@ours.example', 'gated_send')`,
    [mailboxId],
  );
  const ids = Array.from({ length: count }, (_, i) => firstIdAt(Date.now() - 3_600_000 + i));
  await database.pool.query(
    `insert into messages (id, kind, direction, source, state, mailbox_id, reverse_path, forward_paths, content_id,
       size, digest, facts, inbox_status, tags)
     select id, 'mail', 'inbound', 'mx', 'available', $2, 's@x.example', '{a@ours.example}', $2, 1, sha256('x'), '{}',
       case when n % 100 <> 0 then 'read' end,
       case when n % 500 = 0 then jsonb_build_object('t' || n, 'x') else '{}' end
       from unnest($1::text[]) with ordinality as u(id, n)`,
    [ids, mailboxId],
  );
  await database.pool.query('analyze messages');
  return ids;
}

/** A database that keeps the plan of what it is asked. */
function watching(): { db: Db; removed(): number } {
  let plan = '';
  const db = {
    async query(config: { text: string }) {
      const values = (config as { values?: unknown[] }).values ?? [];
      const { rows } = await database.pool.query(`explain (analyze, format json) ${config.text}`, values);
      plan = JSON.stringify(rows);
      return database.pool.query(config);
    },
  } as unknown as Db;
  const removed = () =>
    [...plan.matchAll(/"Rows Removed by (?:Filter|Index Recheck)":(\d+)/g)].reduce(
      (sum, [, n]) => sum + Number(n),
      0,
    );
  return { db, removed };
}

/** How many rows of messages a list reads. */
async function rowsRead(filter: Partial<MailboxFilter>): Promise<{ read: number; listed: number }> {
  const { db, removed } = watching();
  const { messages } = await listMailbox(db, { mailboxId, statuses: null, begin, limit: 20, ...filter });
  return { read: removed() + messages.length, listed: messages.length };
}

test('a page of a list reads the mail that it shows, and little more', async () => {
  const ids = await fillMailbox(20_000);
  const cases: [string, Partial<MailboxFilter>, number][] = [
    ['nothing', {}, 20],
    ['unread', { statuses: ['unread'] }, 20],
    ['unread since', { statuses: ['unread'], sinceId: ids[10_000]! }, 20],
    ['since', { sinceId: ids[10_000]! }, 20],
    ['cursor', { begin: { ...begin, afterId: ids[500]! } }, 20],
    ['tag', { tag: { key: 't5000', value: null } }, 1],
    ['tag with its value', { tag: { key: 't5000', value: 'x' } }, 1],
    // read from the index of what lives: that of the other mailbox, too
    ['waiting', { statuses: ['pending_send_approval', 'pending_inbound_approval'] }, 0],
  ];
  for (const [name, filter, listed] of cases) {
    const told = await rowsRead(filter);
    expect({ name, listed: told.listed }).toEqual({ name, listed });
    expect(`${name} ${told.read < (name === 'waiting' ? 3_000 : 200)}`).toBe(`${name} true`);
  }
});

test('looking for what overseers are to be told reads open holds, not all there ever were', async () => {
  await ensureAccount(database.pool, { oversightAddress: 'boss@firm.example' }, system('cli'));
  await database.pool.query(
    `insert into holds (id, message_id, mailbox_id, reasons, expires_at, closed_at)
     select upper(substr(md5('hold' || i), 1, 26)), upper(substr(md5('held' || i), 1, 26)), $1, '{why}',
       now() + interval '7 days', case when i % 1000 <> 0 then now() end
       from generate_series(1, 20000) i`,
    [mailboxId],
  );
  await database.pool.query('analyze holds');
  for (const told of ['notified', 'reminded', 'expired'] as Told[])
    for (const ids of [null, [newId(), newId()]]) {
      const { db, removed } = watching();
      await dueNotices(db, told, ids, 500);
      expect(`${told} ${removed() < 100}`).toBe(`${told} true`);
    }
});
