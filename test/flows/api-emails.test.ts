import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';
import { letter } from '../support/mx.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(async () => {
  await api.close();
});

const get = async (path: string, key = api.keys.agent) => (await api.call('GET', path, { key })).json;
const ids = (page: { emails: { id: string }[] }) => page.emails.map(({ id }) => id);
const settled = () => new Promise((go) => setTimeout(go, 1_050));

const received = (to: string, fields: Record<string, string> = {}, text?: string) =>
  api.receive({ address: to }, { ...fields, ...(text !== undefined && { text }) });

test('mail that came in is listed without its text, and read with it once', async () => {
  const { id: box } = await api.mailbox('first@ours.example', 'gated_send');
  const id = await received('first@ours.example', { Cc: 'carl@remote.example' }, 'The secret word.');
  const list = await api.call('GET', `/v1/mailboxes/${box}/emails?status=unread`, { key: api.keys.agent });
  expect(list.json).toMatchObject({
    cursor: null,
    emails: [
      {
        id,
        email_id: id,
        message_id: id,
        from: 'stranger@remote.example',
        from_address: 'stranger@remote.example',
        from_name: 'Stranger',
        to: ['first@ours.example'],
        to_addresses: ['first@ours.example'],
        subject: 'Hello',
        direction: 'inbound',
        status: 'unread',
        spam_score: null,
        spam_verdict: null,
        thread_id: id,
        has_attachments: false,
        delivered_at: null,
        bounced_at: null,
        bounce_type: null,
        mailbox_id: box,
        mailbox: 'first@ours.example',
        tags: {},
        send_at: null,
      },
    ],
  });
  expect(list.text).not.toContain('secret word');
  const full = await get(`/v1/mailboxes/first@ours.example/emails/${id}`);
  expect(full).toMatchObject({
    id,
    status: 'read',
    markdown: 'The secret word.',
    body: 'The secret word.',
    cc: ['carl@remote.example'],
    attachments: [],
    user_label: null,
    agent: null,
    approved_at: null,
    approved_by: null,
    approval_required: false,
    sender_identity: null,
    recipients: [],
  });
  expect(full).not.toHaveProperty('text_body');
  expect(full).not.toHaveProperty('bcc');
  expect(ids(await get(`/v1/mailboxes/${box}/emails?status=unread`))).toEqual([]);
  expect(ids(await get(`/v1/mailboxes/${box}/emails?status=read,archived`))).toEqual([id]);
  const { json } = await api.call('GET', `/v1/audit-log?message_id=${id}&action=message.read`, {
    key: api.keys.admin,
  });
  expect(json.entries).toHaveLength(1);
});

test('a view for people who run the gateway marks nothing as read', async () => {
  await api.mailbox('view@ours.example', 'gated_send');
  const id = await received('view@ours.example');
  const shown = await get(`/v1/queue/emails/${id}`, api.keys.admin);
  expect(shown).toMatchObject({ id, status: 'unread' });
  expect(shown).not.toHaveProperty('markdown');
  expect(await get(`/v1/queue/emails/${id}`, api.keys.admin)).toMatchObject({ status: 'unread' });
});

test('the text is read from plain mail, from HTML alone, and from the plain one of two', async () => {
  const { id: box } = await api.mailbox('texts@ours.example', 'gated_send');
  const text = async (raw: string) => {
    const id = await api.receive({ address: 'texts@ours.example' }, { raw });
    return (await get(`/v1/mailboxes/${box}/emails/${id}`)).markdown;
  };
  const mime = (type: string, encoding = '8bit') => ({
    'MIME-Version': '1.0',
    'Content-Type': type,
    'Content-Transfer-Encoding': encoding,
  });
  expect(await text(letter(mime('text/plain; charset=iso-8859-1', 'quoted-printable'), 'gr=FC=DFe'))).toBe(
    'grüße',
  );
  expect(
    await text(letter(mime('text/html; charset=utf-8'), '<p>Hi <b>there</b></p><script>x()</script>')),
  ).toBe('Hi there');
  const both = '--b\nContent-Type: text/plain\n\nplain\n--b\nContent-Type: text/html\n\n<p>html</p>\n--b--';
  expect(await text(letter(mime('multipart/alternative; boundary=b'), both))).toBe('plain');
  const empty = both.replace('\nplain\n', '\n \n');
  expect(await text(letter(mime('multipart/alternative; boundary=b'), empty))).toBe('html');
  expect(await text(letter(mime('multipart/mixed; boundary=b'), both))).toBe('plain\n\nhtml');
  expect(await text(letter(mime('application/pdf', 'base64'), 'AAAA'))).toBe('');
  expect(await text(letter({}, 'x'.repeat(900) + '\n'.repeat(3)))).toBe('x'.repeat(900));
});

test('composed mail is read as it was written', async () => {
  const { id: box } = await api.mailbox('composed@ours.example', 'gated_send');
  const id = await api.send(box, { markdown: '# Hi\n\nIt is *done*.' });
  const full = await get(`/v1/mailboxes/${box}/emails/${id}`);
  expect(full).toMatchObject({
    markdown: '# Hi\n\nIt is *done*.',
    direction: 'outbound',
    to: ['ana@remote.example'],
    recipients: [{ address: 'ana@remote.example', status: 'pending', reply: null }],
  });
});

test('to names whom mail goes to, and nobody who got a blind copy', async () => {
  const { id: box } = await api.mailbox('blind@ours.example', 'gated_send');
  const id = await api.send(box, { cc: ['carl@remote.example'], bcc: ['bea@remote.example'] });
  expect(await get(`/v1/mailboxes/${box}/emails/${id}`)).toMatchObject({
    to: ['ana@remote.example'],
    cc: ['carl@remote.example'],
  });
});

test('every filter selects, and an unknown status is told', async () => {
  const { id: box } = await api.mailbox('filters@ours.example', 'gated_send');
  const to = 'filters@ours.example';
  const plain = await received(to, { Subject: 'Weekly Report', From: 'ann@alpha.example' });
  const file = await received(
    to,
    { From: 'bob@beta.example', 'MIME-Version': '1.0', 'Content-Type': 'multipart/mixed; boundary=b' },
    '--b\n\ntext\n--b\nContent-Type: application/pdf; name=a.pdf\n\nx\n--b--',
  );
  const sent = await api.send(box);
  await api.call('PUT', `/v1/mailboxes/${box}/emails/${plain}/tags`, {
    key: api.keys.agent,
    body: { tags: { case: '7' } },
  });
  const found = async (query: string) => ids(await get(`/v1/mailboxes/${box}/emails?${query}`)).toSorted();
  const cases: [string, string[]][] = [
    ['', [plain, file, sent]],
    ['sender=ALPHA.ex', [plain]],
    ['subject_contains=weekly', [plain]],
    ['direction=outbound', [sent]],
    ['direction=inbound', [plain, file]],
    ['has_attachments=true', [file]],
    ['has_attachments=0', [plain, sent]],
    ['tag=case', [plain]],
    ['tag=case%3D7', [plain]],
    ['tag=case%3D8', []],
    ['status=pending_send_approval', [sent]],
    ['status=pending_approval,unread', [plain, file, sent]],
    ['status=unread&status=sent', [plain, file]],
    ['date_after=2020-01-01', [plain, file, sent]],
    ['date_before=2020-01-01', []],
    [`date_after=${new Date(Date.now() + 60_000).toISOString()}`, []],
    ['status=archived', []],
    ['limit=0', [sent]],
    ['offset=1&limit=1', [file]],
  ];
  for (const [query, expected] of cases)
    expect({ query, ids: await found(query) }).toEqual({ query, ids: expected.toSorted() });
  for (const query of [
    'status=delivered',
    'direction=up',
    'has_attachments=maybe',
    'date_after=x',
    'cursor=x',
    'since_id=%20',
    'cursor=1&offset=1',
  ]) {
    const refused = await api.call('GET', `/v1/mailboxes/${box}/emails?${query}`, { key: api.keys.agent });
    expect(`${query} ${refused.status}`).toMatch(/ 40[04]$/);
  }
  expect(
    (await api.call('GET', '/v1/mailboxes/nobody@ours.example/emails', { key: api.keys.agent })).status,
  ).toBe(404);
});

test('from an id on mail comes oldest first, without its last second and without what is not judged yet', async () => {
  const { id: box } = await api.mailbox('since@ours.example', 'gated_send');
  const to = 'since@ours.example';
  const first = await received(to);
  const [second, third] = [await received(to), await received(to)];
  const since = (query: string) => get(`/v1/mailboxes/${box}/emails?${query}`);
  expect(ids(await since(`since_id=${first}`))).toEqual([]);
  await settled();
  expect(ids(await since(`since_id=${first}`))).toEqual([second, third]);
  const page = await since(`since_id=${first}&limit=1`);
  expect(ids(page)).toEqual([second]);
  expect(ids(await since(`since_id=${first}&limit=1&cursor=${page.cursor}`))).toEqual([third]);
  // as if a slow policy room had not yet looked at the second
  const { pool } = api.runtime.database;
  await pool.query(`update messages set state = 'received' where id = $1`, [second]);
  expect(ids(await since(`since_id=${first}&status=unread`))).toEqual([]);
  await pool.query(`update messages set state = 'available' where id = $1`, [second]);
  expect(ids(await since(`since_id=${first}&status=unread`))).toEqual([second, third]);
});

test('mail that is let in late stands where it was let in', async () => {
  const { id: box } = await api.mailbox('late@ours.example', 'gated_all');
  const to = 'late@ours.example';
  const [early, later] = [await received(to), await received(to)];
  const decide = (id: string) =>
    api.call('POST', '/v1/oversight/decide', {
      key: api.keys.reviewer,
      body: { email_id: id, action: 'approve' },
    });
  await decide(later);
  await decide(early);
  expect(ids(await get(`/v1/mailboxes/${box}/emails`))).toEqual([early, later]);
  await settled();
  expect(ids(await get(`/v1/mailboxes/${box}/emails?since_id=${later}`))).toEqual([early]);
});

test('an agent cannot find out by filters what a reviewer has not let in', async () => {
  const { id: box } = await api.mailbox('probe@ours.example', 'gated_all');
  const id = await received('probe@ours.example', { Subject: 'Salaries' });
  const list = (query: string, key?: string) =>
    get(`/v1/mailboxes/${box}/emails?status=pending_inbound_approval${query}`, key);
  expect(ids(await list(''))).toEqual([id]);
  expect(ids(await list('&subject_contains=Sal'))).toEqual([]);
  expect(ids(await list('&sender=stranger'))).toEqual([]);
  expect(ids(await list('&subject_contains=Sal', api.keys.admin))).toEqual([id]);
});

test('mail that has arrived is put away, and other mail is not', async () => {
  const { id: box } = await api.mailbox('away@ours.example', 'gated_send');
  const id = await received('away@ours.example');
  const mark = (email: string, status: string, key = api.keys.agent) =>
    api.call('PATCH', `/v1/mailboxes/${box}/emails/${email}`, { key, body: { status } });
  for (const status of ['archived', 'read', 'deleted', 'unread', 'unread'])
    expect((await mark(id, status)).json).toEqual({ id, status });
  expect(await mark(id, 'sent')).toMatchObject({
    status: 400,
    json: { code: 'invalid_field', field: 'status' },
  });
  const reader = (await api.key({ scopes: ['read'] })).apiKey;
  expect(await mark(id, 'read', reader)).toMatchObject({ status: 403, json: { code: 'scope_missing' } });
  expect(await mark(await api.send(box), 'read')).toMatchObject({
    status: 409,
    json: { code: 'wrong_status', current_status: 'pending_send_approval' },
  });
  const { json } = await api.call('GET', `/v1/audit-log?message_id=${id}`, { key: api.keys.admin });
  const actions = json.entries.map(({ action }: { action: string }) => action).toReversed();
  expect(actions.slice(-4)).toEqual(['message.archived', 'message.read', 'message.deleted', 'message.read']);
});

test('mail of another mailbox is not found under this one', async () => {
  const { id: box } = await api.mailbox('mine@ours.example', 'gated_send');
  await api.mailbox('theirs@ours.example', 'gated_send');
  const id = await received('theirs@ours.example');
  for (const path of ['', '/tags', '/attachments/a', '/attachments/a/url'])
    expect(
      (await api.call('GET', `/v1/mailboxes/${box}/emails/${id}${path}`, { key: api.keys.agent })).status,
    ).toBe(404);
  expect((await api.call('GET', `/v1/mailboxes/${box}/threads/${id}`, { key: api.keys.agent })).status).toBe(
    404,
  );
});

test('tags are merged, counted, taken off, and kept to their form', async () => {
  const { id: box } = await api.mailbox('tags@ours.example', 'gated_send');
  const id = await received('tags@ours.example');
  const path = `/v1/mailboxes/${box}/emails/${id}/tags`;
  const put = (tags: unknown) => api.call('PUT', path, { key: api.keys.agent, body: { tags } });
  expect((await put({ a: '1', b: '2' })).json).toEqual({ tags: { a: '1', b: '2' } });
  expect((await put({ b: '3' })).json).toEqual({ tags: { a: '1', b: '3' } });
  expect((await put(['c d'])).json).toEqual({ tags: { a: '1', b: '3', 'c d': 'true' } });
  const many = Object.fromEntries(Array.from({ length: 62 }, (_, n) => [`t${n}`, 'x']));
  expect(await put(many)).toMatchObject({ status: 400, json: { code: 'invalid_field', field: 'tags' } });
  expect((await put({ 'x=y': '1' })).status).toBe(400);
  expect((await put({ constructor: '1' })).status).toBe(400);
  const off = () => api.call('DELETE', `${path}/${encodeURIComponent('c d')}`, { key: api.keys.agent });
  expect((await off()).json).toEqual({ deleted: true });
  expect((await off()).json).toEqual({ deleted: false });
  expect(await get(path)).toEqual({ tags: { a: '1', b: '3' } });
  const { json } = await api.call(
    'GET',
    `/v1/audit-log?message_id=${id}&action=message.tagged,message.untagged`,
    {
      key: api.keys.admin,
    },
  );
  expect(json.entries).toHaveLength(4);
});
