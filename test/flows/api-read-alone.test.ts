/** A key with `read` alone changes nothing, whatever it calls by whichever path, but for read marks of messages. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { routesOf } from '../../api/http/routes.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { acceptWithin } from '../../core/store/accept.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { arrivalOf } from '../support/oversight.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

/** Tables that only count or tell what was done, and the one to which any key may leave a note for the operator. */
const TELLS = new Set(['audit_events', 'usage_counts', 'rates', 'feedback', 'pgmigrations', 'processes']);
/** Columns that say that a key was used, or a message read. */
const MARKS: Record<string, string[]> = { api_keys: ['last_used_at'], messages: ['inbox_status'] };

/** What a query says: which mailbox and which message is meant, and nothing that narrows a list. */
const NAMES = new Set(['mailbox_id', 'mailbox', 'email_id', 'thread_id']);

/** Everything that is stored, table by table. */
async function stored(): Promise<Record<string, string>> {
  const { pool } = api.runtime.database;
  const { rows } = await pool.query<{ name: string }>(
    "select table_name as name from information_schema.tables where table_schema = 'public' and table_type = 'BASE TABLE'",
  );
  const told: Record<string, string> = {};
  for (const { name } of rows.filter((table) => !TELLS.has(table.name))) {
    const without = (MARKS[name] ?? []).map((column) => ` - '${column}'`).join('');
    const { rows: all } = await pool.query<{ row: string }>(
      `select (to_jsonb(t)${without})::text as row from "${name}" t order by 1`,
    );
    told[name] = all.map(({ row }) => row).join('\n');
  }
  return told;
}

test('with read alone nothing changes but read marks, and no mail leaves', async () => {
  const mailbox = await api.mailbox('quiet@ours.example', 'autonomous');
  const other = await api.mailbox('held@ours.example', 'gated_send');
  const held = await api.send(other.id, { subject: 'Held' });
  await api.until(held, 'pending_send_approval');
  const arrival = arrivalOf({
    mailboxId: mailbox.id,
    direction: 'inbound',
    source: 'mx',
    forwardPaths: [mailbox.address],
  });
  const inbound = arrival.messages[0]!.id;
  await acceptWithin(api.runtime.database.pool, arrival);
  api.runtime.bells.ring('policy', [inbound]);
  await api.until(inbound, 'unread');
  const key = (await api.key({ scopes: ['read'] })).apiKey;

  const given: Record<string, unknown> = {
    mailbox_id: mailbox.id,
    mailbox: mailbox.address,
    email_id: inbound,
    thread_id: inbound,
    action: 'report',
    status: 'archived',
    to: ['ana@remote.example'],
    subject: 's',
    markdown: 'm',
    tags: { a: 'b' },
    key: 'a',
    name: 'n',
    email: 'ana@remote.example',
    target_mode: 'autonomous',
    domain: 'new.example',
    pattern: '*@remote.example',
    timeout_seconds: 5,
  };
  const before = await stored();
  expect(Object.keys(before).length).toBeGreaterThan(15);
  let asked = 0;
  let answered = 0;
  // Whoever has the link of an unsubscription has the right to it, with any key and with none.
  for (const { method, path, one } of routesOf(OPERATIONS).filter(({ one }) => one.access !== 'none')) {
    if (one.name === 'wait_for_email') continue; // it reads a list, again and again
    for (const email_id of [inbound, held]) {
      const all: Record<string, unknown> = { ...given, email_id, thread_id: email_id };
      const names = (path.match(/:\w+/g) ?? []).map((name) => name.slice(1));
      const url = path.replace(/:(\w+)/g, (_, name: string) => encodeURIComponent(String(all[name] ?? held)));
      const rest = Object.entries(all).filter(([name]) => name in one.input.shape && !names.includes(name));
      const query = new URLSearchParams(
        rest
          .filter(([name]) => NAMES.has(name))
          .map(([name, value]): [string, string] => [name, String(value)]),
      );
      const reply =
        method === 'GET'
          ? await api.call('GET', `${url}?${query}`, { key })
          : await api.call(method, url, { key, body: Object.fromEntries(rest) });
      asked += 1;
      if (reply.status < 300) answered += 1;
    }
  }
  expect(asked).toBeGreaterThan(250);
  expect(answered).toBeGreaterThan(40);
  await new Promise((resolve) => setTimeout(resolve, 300)); // what policy would have done
  expect(await stored()).toEqual(before);
});
