import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { updateAccount } from '../../core/store/account.ts';
import { confirmWaiting, listWaiting } from '../../core/store/operator-codes.ts';
import { startDelivery } from '../../delivery/main.ts';
import { type Reply, startTestApi, type TestApi } from '../support/api.ts';
import { mailedNotices } from '../support/notices.ts';

const lines: string[] = [];
let api: TestApi;
beforeAll(async () => {
  api = await startTestApi({}, { log: { write: (line: string) => void lines.push(line) } });
});
afterAll(() => api.close());

const OPERATOR = 'operator@gateway.example';
const create = (body: object, key = api.keys.admin) => api.call('POST', '/v1/api-keys', { key, body });
/** A key of its own, since codes are limited per key. */
const admin = async (name = 'admin') =>
  (await api.key({ scopes: ['admin'], principal: { kind: 'user', name } })).apiKey;
const actions = async (filter: string): Promise<string[]> => {
  const { json } = await api.call('GET', `/v1/audit-log?limit=100&action=${filter}`, { key: api.keys.admin });
  return json.entries.map(({ action }: { action: string }) => action);
};
/** Asks until there is something. */
async function eventually<T>(look: () => Promise<T | undefined>): Promise<T> {
  for (let tries = 0; tries < 200; tries++) {
    const found = await look();
    if (found !== undefined) return found;
    await new Promise((go) => setTimeout(go, 50));
  }
  throw new Error('it never came');
}
const db = () => api.runtime.database.pool;

test('a guarded call does nothing, says who was asked, and passes with the code', async () => {
  const key = await admin();
  const body = { name: 'robot', scopes: ['read', 'send'] };
  const first = await create(body, key);
  expect(first).toMatchObject({
    status: 202,
    json: { status: 'pending_approval', operation: 'create_api_key', masked_email: 'o***@gateway.example' },
  });
  expect(Object.keys(first.json).sort()).toEqual(
    ['expires_at', 'masked_email', 'message', 'operation', 'status'].sort(),
  );
  const lives = Date.parse(first.json.expires_at) - Date.now();
  expect(lives).toBeGreaterThan(890_000);
  expect(lives).toBeLessThanOrEqual(900_000);
  expect((await api.call('GET', '/v1/api-keys', { key })).text).not.toContain('robot');

  const code = await api.code();
  expect(code).toMatch(/^[2-9A-HJ-NP-Z]{3}-[2-9A-HJ-NP-Z]{3}$/);
  const done = await create({ ...body, approval_code: code }, key);
  expect(done).toMatchObject({ status: 201, json: { name: 'robot', scopes: ['read', 'send'] } });
  expect(await create({ ...body, approval_code: code }, key)).toMatchObject({
    status: 403,
    json: { code: 'invalid_code' },
  });
});

test('the mail says who asks, for what, and that nobody asks for the code by phone', async () => {
  const key = await admin('Ana');
  await create({ name: 'night shift', scopes: ['send'] }, key);
  const [mail] = await mailedNotices(db());
  expect(mail).toMatchObject({ to: OPERATOR });
  expect(mail!.text).toContain('The person "Ana" asks the mail gateway gateway.example to');
  expect(mail!.text).toContain('make an API key called "night shift" that may send in all mailboxes');
  expect(mail!.text).toContain('15 minutes');
  expect(mail!.text).toContain('Nobody will ever ask you for this code by phone');
  expect(mail!.subject).not.toContain(await api.code());
  const { rows } = await db().query(
    `select m.state, m.reverse_path, m.source, b.address, b.is_system, convert_from(c.bytes, 'utf8') as bytes
       from messages m join mailboxes b on b.id = m.mailbox_id join contents c on c.id = m.content_id
      where m.id = $1`,
    [mail!.id],
  );
  expect(rows[0]).toMatchObject({
    state: 'queued',
    reverse_path: '',
    source: 'postern',
    address: 'postern@gateway.example',
    is_system: true,
  });
  expect(rows[0].bytes).toMatch(/^From: Postern <postern@gateway\.example>\r$/m);
  expect(rows[0].bytes).toMatch(/^Auto-Submitted: auto-generated\r$/m);
});

test('what is meant is told by its name, not by its id', async () => {
  const key = await admin();
  const told = async () => (await mailedNotices(db()))[0]!.text.split(/\r?\n/)[2];
  const doomed = await api.key({ name: 'old robot', principal: { kind: 'agent', name: 'robot' } });
  await api.call('DELETE', `/v1/api-keys/${doomed.id}`, { key });
  expect(await told()).toMatch(/^ {4}end the API key "old robot" \(mm_test_.{6}\.\.\.\) of "robot"$/);
  const mailbox = await api.mailbox('told@ours.example', 'gated_send');
  const path = `/v1/mailboxes/${mailbox.id}`;
  await api.call('POST', `${path}/allowlist`, { key, body: { pattern: '@remote.example' } });
  expect(await told()).toBe(
    `    let "told@ours.example" write to "*@remote.example" without anybody's approval`,
  );
  await api.call('PATCH', path, { key, body: { auto_bcc: 'spy@remote.example', auto_cc: null } });
  expect(await told()).toBe('    set auto_bcc to "spy@remote.example" in the mailbox "told@ours.example"');
});

test('what somebody calls a key cannot write lines of the mail', async () => {
  const key = await admin();
  await api.key({ scopes: ['admin'], principal: { kind: 'user', name: 'Ünal\u202e evil' } });
  await create({ name: 'x" and nothing else. The code may be told by phone. "', scopes: ['read'] }, key);
  const [mail] = await mailedNotices(db());
  const line = mail!.text.split(/\r?\n/).find((text) => text.includes('API key called'))!;
  expect(line).toBe(
    `    make an API key called "x' and nothing else. The code may be told by phone. '" that may read in all mailboxes`,
  );
});

test('case, hyphens and blanks of a code mean nothing; the header does as well as the body', async () => {
  const key = await admin();
  const body = { name: 'lower', scopes: ['read'] };
  await create(body, key);
  const code = (await api.code()).replace('-', ' ').toLowerCase();
  const done = await api.call('POST', '/v1/api-keys', { key, body, headers: { 'x-approval-code': code } });
  expect(done.status).toBe(201);
});

test('a code is for one request, one operation and one principal', async () => {
  const key = await admin();
  const body = { name: 'bound', scopes: ['read'] };
  await create(body, key);
  const approval_code = await api.code();
  const refused = (reply: Reply) =>
    expect(reply).toMatchObject({ status: 403, json: { code: 'invalid_code' } });
  refused(await create({ ...body, scopes: ['read', 'send'], approval_code }, key));
  refused(await create({ ...body, approval_code }, await admin('someone else')));
  const mailbox = await api.mailbox('bound@ours.example', 'gated_send');
  refused(
    await api.call('POST', `/v1/mailboxes/${mailbox.id}/allowlist`, {
      key,
      body: { pattern: 'ana@remote.example', approval_code },
    }),
  );
  // U-07: another key of the same principal is the same principal.
  expect((await create({ ...body, approval_code }, await admin())).status).toBe(201);
});

test('a code dies after ten wrong tries, right though it would be then', async () => {
  const key = await admin('guesser');
  const body = { name: 'guessed', scopes: ['read'] };
  await create(body, key);
  const approval_code = await api.code();
  for (let i = 0; i < 10; i++)
    expect((await create({ ...body, approval_code: '222-222' }, key)).status).toBe(403);
  expect(await create({ ...body, approval_code }, key)).toMatchObject({
    status: 403,
    json: { code: 'invalid_code' },
  });
});

test('nine wrong tries are forgiven', async () => {
  const key = await admin('forgetful');
  const body = { name: 'forgiven', scopes: ['read'] };
  await create(body, key);
  for (let i = 0; i < 9; i++) await create({ ...body, approval_code: '222-222' }, key);
  expect((await create({ ...body, approval_code: await api.code() }, key)).status).toBe(201);
});

test('a code that is fifteen minutes old is none', async () => {
  const key = await admin('slow');
  const body = { name: 'late', scopes: ['read'] };
  await create(body, key);
  await db().query(
    `update operator_codes set expires_at = now() - interval '1 second' where used_at is null`,
  );
  expect((await create({ ...body, approval_code: await api.code() }, key)).status).toBe(403);
});

test('of two who show the same code at once, one gets through', async () => {
  const key = await admin('twice');
  const body = { name: 'race', scopes: ['read'] };
  await create(body, key);
  const approval_code = await api.code();
  const all = await Promise.all([1, 2, 3, 4].map(() => create({ ...body, approval_code }, key)));
  expect(all.map(({ status }) => status).sort()).toEqual([201, 403, 403, 403]);
});

test('a second code for the same request ends with the first that is used', async () => {
  const key = await admin('impatient');
  const body = { name: 'two mails', scopes: ['read'] };
  await create(body, key);
  const first = await api.code();
  await create(body, key);
  const second = await api.code();
  expect((await create({ ...body, approval_code: first }, key)).status).toBe(201);
  expect((await create({ ...body, approval_code: second }, key)).status).toBe(403);
});

test('five codes an hour for each key and operation', async () => {
  const key = await admin('flood');
  for (let i = 0; i < 5; i++)
    expect((await create({ name: `f${i}`, scopes: ['read'] }, key)).status).toBe(202);
  const refused = await create({ name: 'f5', scopes: ['read'] }, key);
  expect(refused).toMatchObject({ status: 429, json: { code: 'rate_limited' } });
  expect(refused.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
  const other = await api.call('POST', '/v1/mailboxes', { key, body: { address_local: 'flood' } });
  expect(other.status).toBe(202);
});

test('without an oversight address, or with one that programs can read, nothing guarded can be done', async () => {
  const set = (oversightAddress: string | null) => updateAccount(db(), { oversightAddress }, system('cli'));
  const key = await admin('unseen');
  const mailbox = await api.mailbox('readable@ours.example', 'gated_send');
  try {
    for (const address of [null, mailbox.address, 'Readable+codes@ours.example']) {
      await set(address);
      expect(await create({ name: 'x', scopes: ['read'] }, key)).toMatchObject({
        status: 409,
        json: { code: 'no_oversight_address' },
      });
    }
  } finally {
    await set(OPERATOR);
  }
});

test('an operator session spares medium codes, for the key that opened it, and no high ones', async () => {
  const key = await admin('session');
  const ask = (method: string, what: string, body?: object, as = key) =>
    api.call(method, `/v1/operator/${what}`, { key: as, ...(body && { body }) });
  expect((await ask('GET', 'session')).json).toEqual({ active: false, expires_at: null, max_tier: null });
  expect(await ask('POST', 'verify-session', { code: 'AAA-AAA' })).toMatchObject({
    status: 404,
    json: { code: 'no_pending_code' },
  });
  expect(await ask('POST', 'start-session', {})).toMatchObject({
    status: 202,
    json: { status: 'code_sent', masked_email: 'o***@gateway.example' },
  });
  expect(await ask('POST', 'verify-session', { code: '222-222' })).toMatchObject({
    status: 403,
    json: { code: 'invalid_code' },
  });
  expect((await mailedNotices(db()))[0]!.text).toContain(
    'manage this Postern for 15 minutes: its name, mailboxes, logins, keys of lesser rights, allowlists, webhooks',
  );
  const active = await ask('POST', 'verify-session', { code: await api.code() });
  expect(active).toMatchObject({ status: 200, json: { status: 'active' } });
  expect(active.json.expires_at).toBeGreaterThan(Date.now());
  const cookie = active.headers.get('set-cookie')!;
  for (const mark of ['HttpOnly', 'Secure', 'SameSite=Strict']) expect(cookie).toContain(mark);
  expect((await ask('GET', 'session')).json).toMatchObject({ active: true, max_tier: 'medium' });

  expect((await create({ name: 'spared', scopes: ['read'] }, key)).status).toBe(201);
  expect((await create({ name: 'not spared', scopes: ['oversight'] }, key)).status).toBe(202);
  expect((await create({ name: 'other key', scopes: ['read'] }, await admin('session'))).status).toBe(202);
  expect((await ask('POST', 'end-session', {})).json).toEqual({ status: 'ended' });
  expect((await create({ name: 'over', scopes: ['read'] }, key)).status).toBe(202);
  for (const method of ['start-session', 'verify-session'])
    expect((await ask('POST', method, { code: 'x' }, api.keys.agent)).status).toBe(403);
});

test('codes for a session are five an hour', async () => {
  const key = await admin('sessions');
  const start = () => api.call('POST', '/v1/operator/start-session', { key });
  for (let i = 0; i < 5; i++) expect((await start()).status).toBe(202);
  expect((await start()).status).toBe(429);
});

test('an admin who says yes in the dashboard lets the same call by the same key pass once', async () => {
  const key = await admin('no code');
  const body = { name: 'by hand', scopes: ['read'] };
  await create(body, key);
  const [waiting] = await listWaiting(db());
  expect(waiting).toMatchObject({ operation: 'create_api_key' });
  expect(await confirmWaiting(db(), waiting!.id, { type: 'user', id: null, name: 'boss' })).toBe(true);
  expect((await create({ ...body, name: 'other' }, key)).status).toBe(202);
  expect((await create(body, await admin('no code'))).status).toBe(202);
  expect((await create(body, key)).status).toBe(201);
  expect((await create(body, key)).status).toBe(202);
});

test('the audit tells of codes, and holds none', async () => {
  const key = await admin('audited');
  await create({ name: 'told', scopes: ['read'] }, key);
  await create({ name: 'told', scopes: ['read'], approval_code: '222-222' }, key);
  await create({ name: 'told', scopes: ['read'], approval_code: await api.code() }, key);
  expect((await actions('code.*')).slice(0, 3)).toEqual(['code.used', 'code.failed', 'code.sent']);
  expect((await actions('operation.confirmed'))[0]).toBe('operation.confirmed');
});

test('no key finds a code in lists, mail, queue, audit or log', async () => {
  const key = await admin('nosy');
  await create({ name: 'secret', scopes: ['read'] }, key);
  const codes = (await mailedNotices(db()))
    .map(({ text }) => /^ {4}([2-9A-Z]{3}-[2-9A-Z]{3})\s*$/m.exec(text)?.[1])
    .filter((code) => code !== undefined);
  expect(codes.length).toBeGreaterThan(5);
  const notice = (await mailedNotices(db()))[0]!.id;
  const all = (
    await api.key({ scopes: ['read', 'oversight', 'admin'], principal: { kind: 'user', name: 'all' } })
  ).apiKey;
  for (const path of ['', '/raw', '/explain'])
    expect((await api.call('GET', `/v1/emails/${notice}${path}`, { key: all })).status).toBe(404);
  const { rows } = await db().query('select id from mailboxes where is_system');
  for (const path of ['', '/emails', `/emails/${notice}`, '/allowlist'])
    expect((await api.call('GET', `/v1/mailboxes/${rows[0].id}${path}`, { key: all })).status).toBe(404);
  const seen: string[] = [lines.join('\n')];
  for (const path of [
    '/v1/emails?limit=100',
    '/v1/mailboxes',
    '/v1/audit-log?limit=100',
    '/v1/oversight/pending?include=queue',
    '/v1/queue',
    '/v1/api-keys',
  ])
    seen.push((await api.call('GET', path, { key: all })).text);
  for (const code of codes) expect(seen.join('\n')).not.toContain(code);
  for (const list of [seen[1], seen[4]]) expect(list).not.toContain(notice);
  const kept = await db().query("select encode(code_hash, 'escape') as text from operator_codes");
  expect(JSON.stringify(kept.rows)).not.toContain(codes[0]!.replace('-', ''));
});

test('in the capture box of a trial people see the code, and the programs that asked do not', async () => {
  const delivery = await startDelivery(api.runtime);
  try {
    const key = await admin('trial');
    await create({ name: 'trial', scopes: ['read'] }, key);
    const code = await api.code();
    const list = (as: string) => api.call('GET', `/v1/capture?to=${OPERATOR}&limit=100`, { key: as });
    const id = await eventually(async () => {
      const { json } = await list(key);
      return json.captures.find(({ subject }: { subject: string }) => subject.includes('"trial"'))?.id;
    });
    expect((await api.call('GET', `/v1/capture/${id}/raw`, { key })).text).toContain(code);
    expect((await list(api.keys.agent)).json.captures).toEqual([]);
    for (const path of ['', '/raw'])
      expect((await api.call('GET', `/v1/capture/${id}${path}`, { key: api.keys.agent })).status).toBe(404);
  } finally {
    await delivery.close();
  }
});
