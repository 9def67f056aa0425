import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { provisionMailboxes } from '../../core/runtime/provision.ts';
import { readAccount, updateAccount } from '../../core/store/account.ts';
import { updateMailbox } from '../../core/store/accounts.ts';
import { type Reply, startTestApi, type TestApi } from '../support/api.ts';
import { mailedNotices } from '../support/notices.ts';
import { testConfig } from '../support/runtime.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi({ webhooks: { allow_hosts: ['hooks.example', 'other.example'] } });
  await api.mailbox('first@ours.example', 'gated_send');
});
afterAll(() => api.close());

const db = () => api.runtime.database.pool;
const admin = async () =>
  (await api.key({ scopes: ['admin'], principal: { kind: 'user', name: 'admin' } })).apiKey;
const get = async (id: string) =>
  (await api.call('GET', `/v1/mailboxes/${id}`, { key: api.keys.agent })).json;
const codesMailed = async () => (await mailedNotices(db())).length;
const refusal = (status: number, code: string, field?: string) => ({
  status,
  json: { code, ...(field !== undefined && { field }) },
});

test('a mailbox has exactly the members clients know, flags as 0 and 1, its making in milliseconds', async () => {
  const made = await api.mailbox('exact@ours.example', 'monitored');
  const account = (await api.call('GET', '/v1/account', { key: api.keys.agent })).json;
  expect(await get('exact%40ours.example')).toEqual({
    id: made.id,
    tenant_id: account.id,
    address: 'exact@ours.example',
    display_name: null,
    oversight_mode: 'monitored',
    auto_cc: null,
    auto_bcc: null,
    forward_inbound: 0,
    webhook_url: null,
    oversight_webhook_url: null,
    signature_block: null,
    created_at: made.createdAt.getTime(),
    is_active: 1,
    mcp_configured: 1,
    default_gate_timing: 'gate_first',
    scheduling_enabled: 1,
    ai_disclosure: 1,
    hold_expiry_hours: 168,
  });
});

test('one made by key is at the domain of the first, starts gated, and is still to be set up', async () => {
  const key = await admin();
  const made = await api.confirm('POST', '/v1/mailboxes', {
    key,
    body: { address_local: 'Robot', display_name: 'Robot', oversight_mode: 'autonomous' },
  });
  expect(made.status).toBe(201);
  expect(made.json).toEqual({
    id: expect.any(String),
    address: 'Robot@ours.example',
    display_name: 'Robot',
    oversight_mode: 'gated_send',
    requested_oversight_mode: 'autonomous',
    note: expect.stringMatching(/\.$/),
  });
  expect(await get(made.json.id)).toMatchObject({ mcp_configured: 0, oversight_mode: 'gated_send' });
  const tight = await api.confirm('POST', '/v1/mailboxes', {
    key,
    body: { address_local_part: 'tight', oversight_mode: 'read_only' },
  });
  expect(tight.json).toMatchObject({ oversight_mode: 'read_only' });
  expect(tight.json).not.toHaveProperty('note');
});

test('what cannot be made is refused before anybody is mailed', async () => {
  const key = await admin();
  const before = await codesMailed();
  const make = (body: object) => api.call('POST', '/v1/mailboxes', { key, body });
  expect(await make({})).toMatchObject(refusal(400, 'missing_field', 'address_local'));
  for (const address of ['two words', 'a@@ours.example', '"a"@ours.example', 'a@strangers.example', '@'])
    expect(await make({ address })).toMatchObject(refusal(400, 'invalid_address', 'address_local'));
  expect(await make({ address_local: 'FIRST' })).toMatchObject(refusal(409, 'address_in_use'));
  expect(await make({ address_local: 'x', oversight_mode: 'free' })).toMatchObject(
    refusal(400, 'unknown_mode', 'oversight_mode'),
  );
  expect(await make({ address_local: 'x', ai_disclosure: 0 })).toMatchObject(
    refusal(400, 'ai_disclosure_locked', 'ai_disclosure'),
  );
  expect(await make({ address_local: 'x', webhook_url: 'https://127.0.0.1/' })).toMatchObject(
    refusal(422, 'unsafe_url', 'webhook_url'),
  );
  expect(await codesMailed()).toBe(before);
});

test('a proved domain takes mailboxes too', async () => {
  await db().query(
    `insert into domains (id, domain, status, token, dkim_selector, dkim_private_key, dkim_public_key)
     values ('01JD8Z6T4M3Q8VJ0RBX4N2C7WK', 'proved.example', 'active', 't', 's', 'x', 'y'),
            ('01JD8Z6T4M3Q8VJ0RBX4N2C7WM', 'claimed.example', 'pending', 't', 's', 'x', 'y')`,
  );
  const make = (address: string, key: string) =>
    api.confirm('POST', '/v1/mailboxes', { key, body: { address } });
  expect((await make('a@proved.example', await admin())).status).toBe(201);
  expect(await make('a@claimed.example', await admin())).toMatchObject(refusal(400, 'invalid_address'));
});

test('who is copied or told changes with a code; everything else without', async () => {
  const { id } = await api.mailbox('guarded@ours.example', 'gated_send');
  const key = await admin();
  const patch = (body: object) => api.call('PATCH', `/v1/mailboxes/${id}`, { key, body });
  const plain = await patch({
    display_name: 'Desk',
    forward_inbound: true,
    signature_block: 'The desk\r\nof Ana',
    hold_expiry_hours: 24,
    ai_disclosure: true,
  });
  expect(plain).toMatchObject({
    status: 200,
    json: {
      status: 'updated',
      mailbox: {
        display_name: 'Desk',
        forward_inbound: 1,
        signature_block: 'The desk\nof Ana',
        hold_expiry_hours: 24,
      },
    },
  });
  expect(await patch({ auto_bcc: 'boss@remote.example', display_name: 'Other' })).toMatchObject({
    status: 202,
    json: { operation: 'update_mailbox' },
  });
  expect(await get(id)).toMatchObject({ auto_bcc: null, display_name: 'Desk' });

  const set = await api.confirm('PATCH', `/v1/mailboxes/${id}`, {
    key,
    body: { auto_cc: 'Boss@REMOTE.example', webhook_url: 'https://hooks.example/x' },
  });
  expect(set.json.mailbox).toMatchObject({
    auto_cc: 'Boss@remote.example',
    webhook_url: 'https://hooks.example/x',
  });
  // To what it is already: nobody has to be asked. Away: somebody has.
  expect(
    (await patch({ auto_cc: 'Boss@remote.example', webhook_url: 'https://hooks.example/x' })).status,
  ).toBe(200);
  expect((await patch({ auto_cc: null })).status).toBe(202);
  expect((await get(id)).auto_cc).toBe('Boss@remote.example');
});

test('a webhook field is one subscription, made, replaced and ended with it', async () => {
  const { id } = await api.mailbox('hooked@ours.example', 'gated_send');
  const hooks = async () => {
    const { json } = await api.call('GET', '/v1/webhooks', { key: api.keys.admin });
    return json.webhooks
      .filter((one: { mailbox_id: string }) => one.mailbox_id === id)
      .map(({ url }: { url: string }) => url)
      .sort();
  };
  const set = async (body: object) =>
    api.confirm('PATCH', `/v1/mailboxes/${id}`, { key: await admin(), body });
  await set({ webhook_url: 'https://hooks.example/a', oversight_webhook_url: 'https://other.example/o' });
  expect(await hooks()).toEqual(['https://hooks.example/a', 'https://other.example/o']);
  await set({ webhook_url: 'https://hooks.example/b' });
  expect(await hooks()).toEqual(['https://hooks.example/b', 'https://other.example/o']);
  expect((await set({ webhook_url: null, oversight_webhook_url: null })).json.mailbox).toMatchObject({
    webhook_url: null,
    oversight_webhook_url: null,
  });
  expect(await hooks()).toEqual([]);
  const log = await api.call('GET', `/v1/audit-log?mailbox=${id}`, { key: api.keys.admin });
  expect(log.text).not.toContain('/b"');
});

test('a mode is tightened at once, loosened by neither PATCH, and nothing of a refused request is applied', async () => {
  const { id } = await api.mailbox('modes@ours.example', 'gated_send');
  for (const path of ['', '/configure']) {
    const patch = (body: object) =>
      api.call('PATCH', `/v1/mailboxes/${id}${path}`, { key: api.keys.admin, body });
    const loosened = await patch({ oversight_mode: 'monitored', display_name: 'X', auto_cc: 'a@b.example' });
    expect(loosened).toMatchObject(refusal(400, 'upgrade_required', 'oversight_mode'));
    expect(loosened.json.error).toContain('request-upgrade');
    expect(await get(id)).toMatchObject({ oversight_mode: 'gated_send', display_name: null });
    expect((await patch({ oversight_mode: 'gated_send' })).status).toBe(200);
    expect(await patch({ oversight_mode: 'Gated_send' })).toMatchObject(refusal(400, 'unknown_mode'));
    expect(await patch({ ai_disclosure: 'false' })).toMatchObject(refusal(400, 'ai_disclosure_locked'));
  }
  const tight = await api.call('PATCH', `/v1/mailboxes/${id}`, {
    key: api.keys.admin,
    body: { oversight_mode: 'read_only' },
  });
  expect(tight.json.mailbox.oversight_mode).toBe('read_only');
});

test('configure is the first settings: from then on the mailbox counts as set up', async () => {
  const made = await api.confirm('POST', '/v1/mailboxes', {
    key: await admin(),
    body: { address_local: 'fresh' },
  });
  const configured = await api.call('PATCH', `/v1/mailboxes/${made.json.id}/configure`, {
    key: api.keys.admin,
    body: { default_gate_timing: 'schedule_first', scheduling_enabled: 0, unheard_of: 1 },
  });
  expect(configured.json).toMatchObject({
    status: 'updated',
    ignored_fields: ['unheard_of'],
    mailbox: { default_gate_timing: 'schedule_first', scheduling_enabled: 0, mcp_configured: 1 },
  });
});

test('a deleted mailbox is gone for everybody, what waited is cancelled, and its address is never given out again', async () => {
  const mailbox = await api.mailbox('leaving@ours.example', 'gated_send');
  const bound = await api.key({ scopes: ['read', 'send'], mailboxId: mailbox.id });
  const held = await api.send(mailbox.id);
  const remove = () => api.call('DELETE', `/v1/mailboxes/${mailbox.id}`, { key: api.keys.admin });
  expect(await remove()).toMatchObject({ status: 200, json: { status: 'deleted' } });
  expect(await remove()).toMatchObject(refusal(404, 'not_found'));
  expect((await api.call('GET', '/v1/mailboxes', { key: api.keys.admin })).text).not.toContain('leaving@');
  expect((await api.call('GET', `/v1/emails/${held}`, { key: api.keys.admin })).json.status).toBe(
    'cancelled',
  );
  expect(await api.call('GET', '/v1/mailboxes', { key: bound.apiKey })).toMatchObject(
    refusal(401, 'revoked_key'),
  );
  const send = await api.call('POST', `/v1/mailboxes/${mailbox.address}/send`, {
    key: api.keys.agent,
    body: { to: ['a@remote.example'], subject: 's', markdown: 'm' },
  });
  expect(send.status).toBe(404);
  expect(
    await api.call('POST', '/v1/mailboxes', { key: await admin(), body: { address_local: 'leaving' } }),
  ).toMatchObject(refusal(409, 'address_in_use'));
  const log = await api.call('GET', '/v1/audit-log?action=mailbox.deleted', { key: api.keys.admin });
  expect(log.json.entries[0]).toMatchObject({ resource_id: mailbox.id });
});

test('no program makes itself a mailbox where people get their codes', async () => {
  const key = await admin();
  const pool = api.runtime.database.pool;
  const { oversightAddress } = await readAccount(pool);
  const { id } = await api.mailbox('overseen@ours.example', 'gated_send');
  const make = (address_local: string) => api.call('POST', '/v1/mailboxes', { key, body: { address_local } });
  try {
    await updateAccount(pool, { oversightAddress: 'Boss+codes@ours.example' }, system('cli'));
    await updateMailbox(pool, id, { oversightAddress: 'aide@ours.example' }, system('cli'));
    for (const name of ['boss', 'BOSS@ours.example', 'boss+codes', 'aide'])
      expect(await make(name)).toMatchObject(refusal(409, 'address_in_use'));
    expect((await make('boss2')).status).toBe(202);
  } finally {
    await updateAccount(pool, { oversightAddress }, system('cli'));
  }
});

test('with a mailbox its webhooks end, and what signed for them is forgotten', async () => {
  const { id } = await api.mailbox('unhooked@ours.example', 'gated_send');
  const body = { webhook_url: 'https://203.0.114.7/hook' };
  expect((await api.confirm('PATCH', `/v1/mailboxes/${id}`, { key: await admin(), body })).status).toBe(200);
  await api.call('DELETE', `/v1/mailboxes/${id}`, { key: api.keys.admin });
  const { rows } = await api.runtime.database.pool.query(
    'select secret, previous_secret, deleted_at is not null as ended from webhooks where mailbox_id = $1',
    [id],
  );
  expect(rows).toEqual([{ secret: '', previous_secret: null, ended: true }]);
});

test('a configuration that still names a deleted mailbox does not keep the others from starting', async () => {
  const config = testConfig({
    mailboxes: [{ address: 'deleted@ours.example' }, { address: 'after@ours.example' }],
  });
  const start = () => provisionMailboxes({ ...api.runtime, config });
  await start();
  await api.call('DELETE', '/v1/mailboxes/deleted@ours.example', { key: api.keys.admin });
  await start();
  const { json } = await api.call('GET', '/v1/mailboxes', { key: api.keys.admin });
  const addresses = json.mailboxes.map(({ address }: { address: string }) => address);
  expect(addresses).toContain('after@ours.example');
  expect(addresses).not.toContain('deleted@ours.example');
});

test('an allowlist grows and shrinks with codes; a known pattern is no second entry', async () => {
  const { id } = await api.mailbox('allow@ours.example', 'gated_send');
  const path = `/v1/mailboxes/${id}/allowlist`;
  const add = async (body: object) => api.confirm('POST', path, { key: await admin(), body });
  const added = await add({ pattern: '@Remote.EXAMPLE', note: 'partner' });
  expect(added).toMatchObject({ status: 201, json: { pattern: '*@remote.example', note: 'partner' } });
  expect(Object.keys(added.json).sort()).toEqual(['created_at', 'id', 'note', 'pattern']);
  const again = await api.call('POST', path, {
    key: api.keys.admin,
    body: { pattern: '*@remote.example', note: 'other' },
  });
  expect(again).toMatchObject({ status: 200, json: added.json });
  const list = await api.call('GET', path, { key: api.keys.agent });
  expect(list.json).toEqual({ allowlist: [added.json], entries: [added.json] });

  const remove = (entry: string, key: string) => api.confirm('DELETE', `${path}/${entry}`, { key, body: {} });
  const first = await api.call('DELETE', `${path}/${added.json.id}`, { key: api.keys.admin });
  expect(first).toMatchObject({ status: 202, json: { operation: 'remove_allowlist_entry' } });
  expect(await remove(added.json.id, await admin())).toMatchObject({
    status: 200,
    json: { status: 'deleted', id: added.json.id },
  });
  expect((await api.call('GET', path, { key: api.keys.agent })).json.entries).toEqual([]);
  expect(await remove(added.json.id, await admin())).toMatchObject(refusal(404, 'not_found'));
  const other = await api.mailbox('allow2@ours.example', 'gated_send');
  expect(
    await api.call('DELETE', `/v1/mailboxes/${other.id}/allowlist/${added.json.id}`, { key: api.keys.admin }),
  ).toMatchObject(refusal(404, 'not_found'));
});

test('patterns that would let strangers in, or are none, are refused', async () => {
  const { id } = await api.mailbox('patterns@ours.example', 'gated_send');
  for (const pattern of [
    '*@com',
    '*@co.uk',
    '@com.au',
    '*',
    'ana',
    'a*@x.example',
    '*@*.example',
    'a@b@c',
    '*@1.2.3.4',
  ])
    expect(
      await api.call('POST', `/v1/mailboxes/${id}/allowlist`, { key: api.keys.admin, body: { pattern } }),
    ).toMatchObject(refusal(400, 'invalid_pattern', 'pattern'));
});

test('none of this is for a key without admin, and a bound key sees its mailbox alone', async () => {
  const { id } = await api.mailbox('mine@ours.example', 'gated_send');
  const { id: theirs } = await api.mailbox('theirs@ours.example', 'gated_send');
  const denied = (reply: Reply) => expect(reply).toMatchObject(refusal(403, 'scope_missing'));
  const { agent } = api.keys;
  denied(await api.call('POST', '/v1/mailboxes', { key: agent, body: { address_local: 'x' } }));
  denied(await api.call('PATCH', `/v1/mailboxes/${id}`, { key: agent, body: { display_name: 'x' } }));
  denied(await api.call('PATCH', `/v1/mailboxes/${id}/configure`, { key: agent, body: {} }));
  denied(await api.call('DELETE', `/v1/mailboxes/${id}`, { key: agent }));
  denied(
    await api.call('POST', `/v1/mailboxes/${id}/allowlist`, { key: agent, body: { pattern: 'a@b.example' } }),
  );
  const bound = (await api.key({ scopes: ['admin'], mailboxId: id })).apiKey;
  denied(await api.call('POST', '/v1/mailboxes', { key: bound, body: { address_local: 'x' } }));
  denied(await api.call('DELETE', `/v1/mailboxes/${id}`, { key: bound }));
  for (const [method, path] of [
    ['GET', ''],
    ['PATCH', ''],
    ['PATCH', '/configure'],
    ['GET', '/allowlist'],
  ] as const)
    expect((await api.call(method, `/v1/mailboxes/${theirs}${path}`, { key: bound })).status).toBe(404);
});
