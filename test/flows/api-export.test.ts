import { afterEach, beforeEach, expect, test } from 'vitest';
import { addContact } from '../../core/store/contacts.ts';
import { addDomain } from '../../core/store/domains.ts';
import { suppress } from '../../core/store/suppressions.ts';
import { createWebhook } from '../../core/store/webhooks.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

const TEST = { type: 'system', id: null, name: 'test' } as const;
const SECTIONS = [
  'exported_at',
  'account',
  'mailboxes',
  'allowlists',
  'contacts',
  'suppressions',
  'domains',
  'webhooks',
  'api_keys',
  'emails',
  'audit_log',
];

let api: TestApi;
let secrets: string[];
beforeEach(async () => {
  api = await startTestApi();
  const { pool } = api.runtime.database;
  const mailbox = await api.mailbox('agent@ours.example', 'gated_send');
  await api.send('agent@ours.example', { subject: 'First', markdown: 'a text to keep\u2028for long' });
  await api.send('agent@ours.example', { subject: 'Second' });
  await addContact(pool, { email: 'ana@remote.example', name: 'Ana' }, TEST);
  await suppress(pool, { address: 'gone@remote.example', reason: 'complaint' }, TEST);
  const domain = await addDomain(pool, 'ours.example', TEST);
  const webhook = { url: 'https://hooks.example.com/in', events: ['*'], mailboxId: mailbox.id };
  const { secret } = await createWebhook(pool, webhook, TEST);
  await pool.query(`insert into allowlist_entries (id, mailbox_id, pattern) values ($1, $1, '*@x.example')`, [
    mailbox.id,
  ]);
  // A code that was mailed lies in Postern's own mailbox, and is nobody's mail.
  await api.call('DELETE', '/v1/account', { key: api.keys.admin, body: {} });
  const { rows } = await pool.query('select dkim_private_key as pem from domains where id = $1', [
    domain!.id,
  ]);
  secrets = [
    secret,
    rows[0].pem.split('\n')[3],
    await api.code(),
    ...Object.values(api.keys),
    (await pool.query(`select encode(secret, 'base64') as s from account`)).rows[0].s,
  ];
});
afterEach(() => api?.close());

const take = (query = '', key = api.keys.admin) => api.call('GET', `/v1/export${query}`, { key });

test('everything the account holds is one JSON object, with the text of mail and without secrets', async () => {
  const taken = await take();
  expect([taken.status, taken.headers.get('content-type')]).toEqual([200, 'application/json; charset=utf-8']);
  expect(Object.keys(taken.json)).toEqual(SECTIONS);
  const { json } = taken;
  expect(json.account.name).toBe('Postern');
  expect(json.mailboxes.map(({ address }: { address: string }) => address)).toEqual(['agent@ours.example']);
  expect(json.allowlists).toMatchObject([{ pattern: '*@x.example', mailbox_id: json.mailboxes[0].id }]);
  expect(json.contacts).toMatchObject([{ email: 'ana@remote.example', name: 'Ana' }]);
  expect(json.suppressions).toMatchObject([{ email_address: 'gone@remote.example', reason: 'complaint' }]);
  expect(json.domains).toMatchObject([{ domain: 'ours.example' }]);
  expect(json.webhooks).toMatchObject([{ url: 'https://hooks.example.com/in', events: ['*'] }]);
  expect(json.api_keys).toHaveLength(3);
  expect(json.emails.map(({ subject }: { subject: string }) => subject)).toEqual(['First', 'Second']);
  expect(json.emails[0].markdown).toContain('a text to keep');
  expect(json.audit_log.at(-1)).toMatchObject({ action: 'export.made', metadata: { format: 'json' } });
  for (const secret of secrets) expect(taken.text).not.toContain(secret);
});

test('as NDJSON it is one record a line, each with its kind', async () => {
  const taken = await take('?format=ndjson');
  expect(taken.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
  expect(taken.text).not.toMatch(/[\u0085\u2028\u2029]/);
  const lines = taken.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  for (const line of lines) expect(Object.keys(line)).toEqual(['kind', 'record']);
  expect([...new Set(lines.map(({ kind }) => kind))]).toEqual([
    'export',
    'account',
    'mailbox',
    'allowlist_entry',
    'contact',
    'suppression',
    'domain',
    'webhook',
    'api_key',
    'email',
    'audit_event',
  ]);
  expect(lines.find(({ kind }) => kind === 'email').record.markdown).toContain('to keep\u2028for long');
});

test('once an hour, by whichever key and in whichever form', async () => {
  expect((await take('?format=xml')).json.code).toBe('invalid_field');
  expect((await take()).status).toBe(200);
  const { apiKey } = await api.key({ scopes: ['admin'], principal: { kind: 'user', name: 'other' } });
  const again = await take('?format=ndjson', apiKey);
  expect([again.status, again.json.code]).toEqual([429, 'rate_limited']);
  expect(Number(again.headers.get('retry-after'))).toBeGreaterThan(3000);
});

test('an export is for admins of the whole account', async () => {
  const agent = await take('', api.keys.agent);
  expect([agent.status, agent.json.code]).toEqual([403, 'scope_missing']);
});

test('a list of many pages is exported whole, nothing twice', async () => {
  const { pool } = api.runtime.database;
  await pool.query(
    `insert into contacts (id, name, name_key, email, email_key)
     select '01' || lpad(n::text, 24, '0'), 'n', 'n', n || '@many.example', n || '@many.example'
       from generate_series(1, 1200) as n`,
  );
  const { json } = await take();
  expect(json.contacts).toHaveLength(1201);
  expect(new Set(json.contacts.map(({ id }: { id: string }) => id)).size).toBe(1201);
});
