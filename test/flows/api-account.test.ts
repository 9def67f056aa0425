import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { provisionAccount } from '../../core/runtime/provision.ts';
import { readAccount } from '../../core/store/account.ts';
import { addContact } from '../../core/store/contacts.ts';
import { suppress } from '../../core/store/suppressions.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeEach(async () => {
  api = await startTestApi();
});
afterEach(() => api?.close());

const TEST = { type: 'system', id: null, name: 'test' } as const;
const admin = () => ({ key: api.keys.admin });
const account = async () => (await api.call('GET', '/v1/account', admin())).json;
const change = (body: object) => api.confirm('PATCH', '/v1/account', { ...admin(), body });
const rows = async (text: string) => (await api.runtime.database.pool.query(text)).rows;

test('the account is told with its limits, none of which is set', async () => {
  const told = await api.call('GET', '/v1/account', { key: api.keys.agent });
  const { id } = await readAccount(api.runtime.database.pool);
  expect(told.json).toEqual({
    id,
    tenant_id: id,
    name: 'Postern',
    slug: 'postern',
    plan: 'self_hosted',
    oversight_email: 'operator@gateway.example',
    physical_address: null,
    monthly_email_quota: null,
    emails_sent_this_month: 0,
    max_mailboxes: null,
    storage_used_bytes: expect.any(Number),
    max_storage_bytes: null,
    is_active: true,
    sending_disabled: false,
    sending_disabled_reason: null,
    enforcement_tier: 'normal',
    account: { id, name: 'Postern', slug: 'postern' },
  });
});

describe('changing it', () => {
  test('takes a code, and the values it has already take none', async () => {
    const body = { name: 'Ana & Co', physical_address: 'Main Street 1\r\nTown' };
    const asked = await api.call('PATCH', '/v1/account', { ...admin(), body });
    expect([asked.status, asked.json.masked_email]).toEqual([202, expect.stringContaining('@')]);
    expect((await account()).name).toBe('Postern');
    expect((await change(body)).json).toEqual({ status: 'updated' });
    expect(await account()).toMatchObject({
      name: 'Ana & Co',
      slug: 'postern',
      physical_address: 'Main Street 1\nTown',
      account: { name: 'Ana & Co' },
    });
    expect((await api.call('PATCH', '/v1/account', { ...admin(), body })).status).toBe(200);
    expect((await change({ physical_address: null })).status).toBe(200);
    expect((await account()).physical_address).toBeNull();
  });

  test('sends the code for another oversight address to the present one, also within a session', async () => {
    const mailed = () =>
      rows(`select forward_paths[1] as "to" from messages where kind = 'notice' order by id desc limit 1`);
    const done = await change({ oversight_email: 'New@Boss.example' });
    expect(done.json).toEqual({ status: 'updated' });
    expect(await mailed()).toEqual([{ to: 'operator@gateway.example' }]);
    expect((await account()).oversight_email).toBe('New@boss.example');

    await api.call('POST', '/v1/operator/start-session', { ...admin(), body: {} });
    const code = await api.code();
    expect(
      (await api.call('POST', '/v1/operator/verify-session', { ...admin(), body: { code } })).status,
    ).toBe(200);
    const put = (body: object) => api.call('PATCH', '/v1/account', { ...admin(), body });
    expect((await put({ name: 'By session' })).json).toEqual({ status: 'updated' });
    expect((await put({ oversight_email: 'third@boss.example' })).status).toBe(202);
    expect(await mailed()).toEqual([{ to: 'New@boss.example' }]);
  });

  test.each([
    ['an empty name', { name: '' }, 'invalid_field'],
    ['a name of two lines', { name: 'a\nb' }, 'invalid_field'],
    ['no oversight address', { oversight_email: null }, 'invalid_field'],
    ['one that is no address', { oversight_email: 'nobody' }, 'invalid_address'],
    ['a postal address without end', { physical_address: 'x'.repeat(2001) }, 'invalid_field'],
    ['one with a bell in it', { physical_address: 'a\u0007' }, 'invalid_field'],
  ])('refuses %s before anybody is asked for a code', async (_, body, code) => {
    const refused = await change(body);
    expect([refused.status, refused.json.code]).toEqual([400, code]);
    expect(await rows('select 1 from operator_codes')).toEqual([]);
  });

  test('takes no oversight address at which programs could read the codes', async () => {
    await api.mailbox('agent@ours.example', 'gated_send');
    for (const oversight_email of ['Agent@ours.example', 'agent+codes@ours.example']) {
      const refused = await change({ oversight_email });
      expect([refused.status, refused.json.code]).toEqual([400, 'invalid_address']);
    }
    expect((await change({ oversight_email: 'people@ours.example' })).status).toBe(200);
  });

  test('by the configuration wins for what it sets, at each start, and leaves the rest', async () => {
    await change({ name: 'By API', physical_address: 'Somewhere' });
    const start = (settings: object) =>
      provisionAccount({ ...api.runtime, config: { ...api.runtime.config, account: settings } });
    await start({});
    expect(await account()).toMatchObject({ name: 'By API', physical_address: 'Somewhere' });
    await Promise.all([start({ name: 'By file' }), start({ name: 'By file' })]);
    expect(await account()).toMatchObject({ name: 'By file', physical_address: 'Somewhere' });
    expect(await rows('select count(*)::int as n from account')).toEqual([{ n: 1 }]);
  });
});

describe('usage', () => {
  test('counts mail, calls and decisions, together and by day', async () => {
    await api.mailbox('agent@ours.example', 'gated_send');
    const id = await api.send('agent@ours.example');
    const { content_digest } = (
      await api.call('GET', `/v1/oversight/emails/${id}`, { key: api.keys.reviewer })
    ).json;
    const decision = { email_id: id, action: 'approve', content_digest };
    await api.call('POST', '/v1/oversight/decide', { key: api.keys.reviewer, body: decision });
    await rows(`update messages set state = 'relayed' where id = '${id}'`);

    const told = (await api.call('GET', '/v1/usage', { key: api.keys.agent })).json;
    const month = new Date();
    expect(told).toEqual({
      from: Date.UTC(month.getUTCFullYear(), month.getUTCMonth()),
      to: expect.any(Number),
      emails_sent: 1,
      emails_received: 0,
      api_calls: expect.any(Number),
      oversight_actions: 1,
    });
    expect(told.api_calls).toBeGreaterThan(3);
    expect((await account()).emails_sent_this_month).toBe(1);

    for (const query of ['breakdown=daily', 'period=daily']) {
      const daily = (await api.call('GET', `/v1/usage?${query}`, admin())).json;
      expect(daily.breakdown).toBe('daily');
      const today = new Date().toISOString().slice(0, 10);
      expect(daily.data).toContainEqual({ date: today, event_type: 'emails_sent', count: 1 });
      expect(daily.data).toContainEqual({ date: today, event_type: 'oversight_actions', count: 1 });
    }
    expect((await api.call('GET', '/v1/usage?period=summary', admin())).json.emails_sent).toBe(1);
  });

  test('is of the span that is asked for', async () => {
    const past = (await api.call('GET', '/v1/usage?from=0&to=86400000', admin())).json;
    expect(past).toEqual({
      from: 0,
      to: 86_400_000,
      emails_sent: 0,
      emails_received: 0,
      api_calls: 0,
      oversight_actions: 0,
    });
    for (const query of [
      'from=2&to=1',
      'from=x',
      'from=-1',
      'breakdown=hourly',
      'breakdown=daily&period=summary',
    ])
      expect((await api.call('GET', `/v1/usage?${query}`, admin())).status, query).toBe(400);
  });

  test('calls are counted once, also those of the last moment, and not those that needed no key', async () => {
    for (let n = 0; n < 5; n++) await account();
    await api.call('GET', '/v1/proof-status');
    await api.call('GET', '/v1/account', { key: 'mm_test_nobody' });
    const told = (await api.call('GET', '/v1/usage', admin())).json;
    expect(told.api_calls).toBe(6);
    expect((await api.call('GET', '/v1/usage', admin())).json.api_calls).toBe(7);
  });
});

describe('erasing it', () => {
  test('takes a code of its own, and leaves people, history, and closed mailboxes alone', async () => {
    const { pool } = api.runtime.database;
    const mailbox = await api.mailbox('agent@ours.example', 'gated_send');
    const id = await api.send('agent@ours.example', { markdown: 'burn after reading' });
    await addContact(pool, { email: 'ana@remote.example' }, TEST);
    await suppress(pool, { address: 'gone@remote.example', reason: 'unsubscribe' }, TEST);
    await pool.query(
      `insert into allowlist_entries (id, mailbox_id, pattern) values ($1, $2, '*@x.example')`,
      [id, mailbox.id],
    );
    const people = await rows('select id from principals');

    const asked = await api.call('DELETE', '/v1/account', { ...admin(), body: {} });
    expect([asked.status, asked.json.status]).toEqual([202, 'pending_approval']);
    const wrong = await api.call('DELETE', '/v1/account', { ...admin(), body: { approval_code: 'AAA-AAA' } });
    expect([wrong.status, wrong.json.code]).toEqual([403, 'invalid_code']);
    expect(await rows('select 1 as mail from messages limit 1')).toHaveLength(1);

    const body = { approval_code: await api.code() };
    expect((await api.call('DELETE', '/v1/account', { ...admin(), body })).json).toEqual({
      status: 'deleted',
    });
    for (const key of Object.values(api.keys))
      expect((await api.call('GET', '/v1/account', { key })).json.code).toBe('invalid_key');
    for (const table of [
      'messages',
      'contents',
      'recipients',
      'holds',
      'compositions',
      'contacts',
      'webhooks',
    ])
      expect(await rows(`select 1 from ${table}`), table).toEqual([]);
    for (const table of ['allowlist_entries', 'api_keys', 'operator_codes', 'captures'])
      expect(await rows(`select 1 from ${table}`), table).toEqual([]);
    expect(
      await rows(`select is_active, deleted_at is not null as gone from mailboxes where not is_system`),
    ).toEqual([{ is_active: false, gone: true }]);
    expect(await rows('select id from principals')).toEqual(people);
    expect(await rows('select address from suppressions')).toHaveLength(1);
    const actions = (await rows('select action from audit_events order by seq')).map(({ action }) => action);
    expect(actions).toContain('message.accepted');
    expect(actions).toContain('mailbox.deleted');
    expect(actions.at(-1)).toBe('account.erased');
  });
});

test('feedback is kept for the operator, by any key, and audited without its text', async () => {
  const { apiKey } = await api.key({ scopes: ['oversight_read'] });
  const body = { type: 'tool_bug', subject: 'It hangs', description: 'Every\ntime', tool_name: 'send_email' };
  const kept = await api.call('POST', '/v1/feedback', { key: apiKey, body });
  expect(kept.json).toEqual({ id: expect.any(String), status: 'received' });
  expect(await rows('select type, subject, description, tool_name, error_message from feedback')).toEqual([
    { ...body, error_message: null },
  ]);
  const log = await api.call('GET', '/v1/audit-log?action=feedback.received', admin());
  expect(log.json.entries).toHaveLength(1);
  expect(log.text).not.toContain('hangs');
  for (const wrong of [
    { ...body, type: 'praise' },
    { ...body, subject: undefined },
  ])
    expect((await api.call('POST', '/v1/feedback', { key: apiKey, body: wrong })).status).toBe(400);
  expect((await api.call('POST', '/v1/feedback', { body })).status).toBe(401);
});

test('what is claimed is told to anyone, and not as checked where nothing was', async () => {
  const told = (await api.call('GET', '/v1/proof-status')).json;
  expect(told).toMatchObject({ status: 'not_run', verified_at: null, tool: 'vitest', commit: 'unknown' });
  expect(told.scope).toContain('not proved');
  expect(told.properties.map(({ name }: { name: string }) => name)).toEqual([
    'gated_needs_approval',
    'cancel_is_final',
    'nothing_forgotten',
    'audit_with_every_step',
    'resource_ownership',
    'scope_enforcement',
    'read_cannot_mutate',
    'admin_only_escalation',
    'tamper_evident_ai_generated',
  ]);
  for (const one of told.properties) expect(one.result).toBe('not_run');
});
