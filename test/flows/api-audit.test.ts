import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../core/mail/id.ts';
import { provisionMailboxes } from '../../core/runtime/provision.ts';
import { listMailboxes } from '../../core/store/accounts.ts';
import { listAllowlist } from '../../core/store/allowlists.ts';
import { record, seqOf } from '../../core/store/audit.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { testConfig } from '../support/runtime.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

interface Entry {
  id: string;
  action: string;
  resource_id: string;
  created_at: string;
  metadata: Record<string, unknown>;
}

async function audit(query: string): Promise<{ entries: Entry[]; cursor: string | null }> {
  const { status, json } = await api.call('GET', `/v1/audit-log${query}`, { key: api.keys.admin });
  expect(status).toBe(200);
  return json;
}

test('the log is read page by page, without gap or repetition, while it grows', async () => {
  const mailbox = await api.mailbox('pages@ours.example', 'gated_send');
  for (let n = 0; n < 5; n++) await api.send(mailbox.id);
  const whole = (await audit('?limit=100')).entries.map(({ id }) => id);
  const paged: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = await audit(`?limit=3${cursor === '' ? '' : `&cursor=${cursor}`}`);
    paged.push(...page.entries.map(({ id }) => id));
    await api.send(mailbox.id);
    cursor = page.cursor;
  }
  expect(paged).toEqual(whole);
});

test('filters combine, and each takes several values', async () => {
  const mailbox = await api.mailbox('filters@ours.example', 'gated_send');
  const id = await api.send(mailbox.id, { to: ['Zoe@Other.example'], agent: 'night-shift' });
  const other = await api.send(mailbox.id);
  const actions = async (query: string) => (await audit(query)).entries.map(({ action }) => action);
  expect(await actions(`?message_id=${id}`)).toEqual(['message.held', 'message.accepted']);
  expect((await actions(`?message_id=${id},${other}&action=message.held`)).length).toBe(2);
  expect(await actions(`?message_id=${id}&action=message.*`)).toHaveLength(2);
  expect(await actions(`?message_id=${id}&action=message.%25`)).toEqual([]);
  expect(await actions(`?mailbox=filters@ours.example&action=mailbox.created`)).toEqual(['mailbox.created']);
  expect(await actions('?mailbox=nobody@ours.example')).toEqual([]);
  expect(await actions('?to=zoe@other.example')).toEqual(['message.held', 'message.accepted']);
  expect(await actions('?to=*@other.example')).toEqual(['message.held', 'message.accepted']);
  expect(await actions('?to=*@er.example')).toEqual([]);
  expect(await actions('?agent=night-shift')).toEqual(['message.held', 'message.accepted']);
  expect((await actions('?agent=agent')).length).toBeGreaterThanOrEqual(4);
  expect(await actions('?agent=nobody')).toEqual([]);
  expect(await actions(`?message_id=${id}&oversight_mode=gated_send`)).toHaveLength(2);
  expect(await actions(`?message_id=${id}&oversight_mode=autonomous`)).toEqual([]);
  expect(
    await actions(`?message_id=${id}&oversight_mode=autonomous,gated_send&action=message.held`),
  ).toHaveLength(1);
  expect(await actions(`?message_id=${id}&actor=policy`)).toEqual(['message.held']);
  expect(await actions(`?message_id=${id}&since=2100-01-01`)).toEqual([]);
  expect(await actions(`?message_id=${id}&until=2000-01-01T00:00:00Z`)).toEqual([]);
});

test('a tag names all events of the messages that bear it, whoever wrote them', async () => {
  const mailbox = await api.mailbox('tags@ours.example', 'gated_send');
  const first = await api.send(mailbox.id, { tags: { run: '7', team: 'ops' } });
  const second = await api.send(mailbox.id, { tags: { run: '8' } });
  await api.call('POST', '/v1/oversight/decide', {
    key: api.keys.reviewer,
    body: { email_id: first, action: 'reject', reason: 'no' },
  });
  const about = async (query: string) =>
    (await audit(query)).entries.map((one) => [one.resource_id, one.action]);
  const ofFirst = [
    [first, 'message.rejected'],
    [first, 'message.held'],
    [first, 'message.accepted'],
  ];
  expect(await about('?tag=run=7')).toEqual(ofFirst);
  expect(await about('?tag=team')).toEqual(ofFirst);
  expect(await about('?tag=run')).toHaveLength(5);
  expect(await about('?tag=run=7,run=8')).toHaveLength(5);
  expect(await about(`?tag=run&message_id=${second}`)).toHaveLength(2);
  expect(await about('?tag=run&action=message.rejected')).toEqual([ofFirst[0]]);
  expect(await about('?tag=run=9')).toEqual([]);
});

test('an event of a message tells whose, to whom, under which mode and which decision, and never its subject', async () => {
  const mailbox = await api.mailbox('facts@ours.example', 'gated_send');
  const id = await api.send(mailbox.id, {
    subject: 'Very confidential',
    tags: { run: '7' },
    oversight_mode: 'gated_all',
  });
  await api.call('POST', '/v1/oversight/decide', {
    key: api.keys.reviewer,
    body: { email_id: id, action: 'reject', reason: 'not now' },
  });
  const { entries } = await audit(`?message_id=${id}`);
  expect(JSON.stringify(entries)).not.toContain('confidential');
  for (const { metadata } of entries)
    expect(metadata).toMatchObject({
      message_id: id,
      mailbox_id: mailbox.id,
      agent: 'agent',
      from: 'facts@ours.example',
      to: ['ana@remote.example'],
      subject_hash: createHash('sha256').update('Very confidential').digest('hex'),
      requested_mode: 'gated_all',
      effective_mode: 'gated_all',
      tags: { run: '7' },
      policy_hash: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
  expect(entries.map(({ metadata }) => [metadata.delivery_status, metadata.approval])).toEqual([
    ['rejected', expect.objectContaining({ by: 'reviewer', decision: 'reject', reason: 'not now' })],
    ['pending_send_approval', null],
    ['pending_scan', null],
  ]);
});

test('what retention has removed is still found by what the log kept of it', async () => {
  const mailbox = await api.mailbox('gone@ours.example', 'gated_send');
  const id = await api.send(mailbox.id, {
    to: ['old@removed.example'],
    tags: { era: 'old' },
    agent: 'elder',
  });
  await api.send(mailbox.id, { tags: { era: 'new' } });
  const seen = async (query: string) => (await audit(query)).entries.map((one) => one.resource_id);
  await api.runtime.database.pool.query('delete from messages where id <= $1', [id]);
  for (const query of [
    '?tag=era=old',
    '?agent=elder',
    '?to=*@removed.example',
    '?tag=era=old&oversight_mode=gated_send',
  ])
    expect(await seen(query)).toEqual([id, id]);
  expect(await seen('?tag=era')).toHaveLength(4);
  const { entries } = await audit(`?message_id=${id}`);
  expect(entries[0]!.metadata).toMatchObject({
    agent: 'elder',
    tags: { era: 'old' },
    to: ['old@removed.example'],
  });
});

test('a tag on thousands of messages is answered the same way as one on few, from both ends of the log', async () => {
  const db = api.runtime.database.pool;
  const mailbox = await api.mailbox('many@ours.example', 'gated_send');
  const ids = `upper(substr(md5('many' || i), 1, 26))`;
  await db.query(
    `insert into messages (id, kind, direction, source, state, mailbox_id, reverse_path, forward_paths, content_id, size,
       digest, facts, tags, effective_mode)
     select ${ids}, 'mail', 'outbound', 'rest', 'relayed', $1, 'm@ours.example', '{b@y.example}', $1, 1, sha256('x'), '{}',
       case when i % 3 = 0 then '{"rare":"1","many":"1"}'::jsonb else '{"many":"1"}' end, 'autonomous'
       from generate_series(1, 2300) i`,
    [mailbox.id],
  );
  await db.query(
    `insert into audit_events (action, resource_type, resource_id, mailbox_id, actor_type, actor_name)
     select action, 'message', ${ids}, $1, 'system', 'test'
       from generate_series(1, 2300) i, unnest(array['message.accepted', 'message.released']) action`,
    [mailbox.id],
  );
  // Beyond the stretch that is looked at first, so that the rest of the log is asked as well.
  await db.query(
    `insert into audit_events (action, resource_type, resource_id, actor_type, actor_name)
     select 'filler.between', 'message', $1, 'system', 'test' from generate_series(1, 9000)`,
    [newId()],
  );
  const expected = async (tag: string, order: string) =>
    (
      await db.query<{ seq: number }>(
        `select e.seq from audit_events e join messages m on m.id = e.resource_id where m.tags ? $1 order by e.seq ${order}`,
        [tag],
      )
    ).rows.map(({ seq }) => seq);
  for (const tag of ['many', 'rare']) {
    const seen: number[] = [];
    for (let cursor: string | null = ''; cursor !== null && seen.length < 1_000; ) {
      const page = await audit(`?tag=${tag}&limit=100${cursor === '' ? '' : `&cursor=${cursor}`}`);
      seen.push(...page.entries.map(({ id }) => seqOf(id)!));
      cursor = page.cursor;
    }
    expect(seen).toEqual((await expected(tag, 'desc')).slice(0, seen.length));
    expect(seen.length).toBeGreaterThanOrEqual(1_000);
    const all = await api.call('GET', `/v1/audit-log/export?tag=${tag}`, { key: api.keys.admin });
    const exported = all.text
      .trim()
      .split('\n')
      .map((line) => seqOf((JSON.parse(line) as Entry).id));
    expect(exported).toEqual(await expected(tag, 'asc'));
  }
});

test('a filter that means nothing is refused rather than left out', async () => {
  const ask = (query: string) => api.call('GET', `/v1/audit-log${query}`, { key: api.keys.admin });
  expect((await ask('?oversight_mode=gated')).json).toMatchObject({ status: 400, code: 'unknown_mode' });
  expect((await ask('?since=yesterday')).json).toMatchObject({ status: 400, field: 'since' });
  expect((await ask('?until=2026-13-40')).json).toMatchObject({ status: 400, field: 'until' });
  expect((await ask('?cursor=xyz')).json).toMatchObject({ status: 400, code: 'invalid_cursor' });
});

test('a page may also begin after so many events, or before a moment', async () => {
  const whole = (await audit('?limit=20')).entries;
  expect((await audit('?limit=5&offset=3')).entries).toEqual(whole.slice(3, 8));
  const moment = Date.parse(whole[4]!.created_at);
  const before = (await audit(`?limit=3&cursor=${moment}`)).entries;
  expect(before.length).toBeGreaterThan(0);
  for (const { created_at } of before) expect(Date.parse(created_at)).toBeLessThan(moment);
  const both = await api.call('GET', `/v1/audit-log?offset=1&cursor=${whole[0]!.id}`, {
    key: api.keys.admin,
  });
  expect(both.json).toMatchObject({ status: 400, code: 'conflicting_fields' });
});

test('one event is read by its id, and no other id means anything', async () => {
  const { entries } = await audit('?limit=1');
  const path = (id: string) => `/v1/audit-log/${id}`;
  const one = await api.call('GET', path(entries[0]!.id), { key: api.keys.admin });
  expect(one.json).toMatchObject({ ...entries[0]! });
  const shifted = `7${entries[0]!.id.slice(1)}`;
  for (const id of [shifted, 'nothing', '01ARZ3NDEKTSV4RRFFQ69G5FAV'])
    expect((await api.call('GET', path(id), { key: api.keys.admin })).status).toBe(404);
});

test('an export streams everything that matches, oldest first, and leaves its own trace', async () => {
  const filler = {
    action: 'test.filler',
    resourceType: 'test',
    actor: { type: 'system', id: null, name: 'test' },
  } as const;
  for (let n = 0; n < 1005; n++)
    await record(api.runtime.database.pool, { ...filler, resourceId: String(n) });
  const reply = await api.call('GET', '/v1/audit-log/export?format=ndjson&action=test.*', {
    key: api.keys.admin,
  });
  expect(reply.headers.get('content-type')).toMatch(/ndjson/);
  const entries = reply.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Entry);
  expect(entries.map(({ resource_id }) => resource_id)).toEqual(
    Array.from({ length: 1005 }, (_, n) => String(n)),
  );
  const [trace] = (await audit('?action=audit.exported')).entries;
  expect(trace!.metadata).toMatchObject({ format: 'ndjson', filter: { actions: ['test.*'] } });
});

test('an entry is one line to every reader, whatever a reviewer wrote', async () => {
  const reason = 'no\u2028{"action":"message.approved"}\u0085\u2029\n';
  await record(api.runtime.database.pool, {
    action: 'test.lines',
    resourceType: 'test',
    resourceId: 'lines',
    actor: { type: 'system', id: null, name: 'test' },
    metadata: { reason },
  });
  const { text } = await api.call('GET', '/v1/audit-log/export?action=test.lines', { key: api.keys.admin });
  const lines = text.split(/[\n\r\u0085\u2028\u2029]/).filter((line) => line !== '');
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0]!).metadata.reason).toBe(reason);
});

test('a CSV export holds no formula, whatever a caller called itself', async () => {
  await record(api.runtime.database.pool, {
    action: 'test.formula',
    resourceType: 'test',
    resourceId: '=HYPERLINK("http://evil.example")',
    actor: { type: 'system', id: null, name: '@evil' },
  });
  const { text } = await api.call('GET', '/v1/audit-log/export?format=csv&action=test.formula', {
    key: api.keys.admin,
  });
  const [header, line] = text.split('\r\n');
  expect(header).toMatch(/^id,created_at,action/);
  expect(line).toContain(`"'=HYPERLINK(""http://evil.example"")"`);
  expect(line).toContain(",'@evil,");
});

test('messages are listed page by page while more arrive, and from an id on oldest first', async () => {
  const mailbox = await api.mailbox('list@ours.example', 'gated_send');
  const sent: string[] = [];
  for (let n = 0; n < 7; n++) sent.push(await api.send(mailbox.id, { subject: `No ${n}` }));
  const path = `/v1/mailboxes/${mailbox.address}/emails?limit=3`;
  const list = async (more: string) =>
    (await api.call('GET', `${path}${more}`, { key: api.keys.agent })).json;
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page = await list(cursor === '' ? '' : `&cursor=${cursor}`);
    seen.push(...page.emails.map(({ id }: Entry) => id));
    await api.send(mailbox.id);
    cursor = page.cursor;
  }
  expect(seen).toEqual(sent.toReversed());

  await new Promise((resolve) => setTimeout(resolve, 1100));
  const since = await list(`&since_id=${sent[2]}`);
  expect(since.emails.map(({ id }: Entry) => id)).toEqual(sent.slice(3, 6));
  expect((await list('&subject_contains=no%203')).emails).toHaveLength(1);
  expect((await list('&status=queued,sent')).emails).toEqual([]);
  expect((await list('&status=pending_approval')).emails).toHaveLength(3);
});

test('the mailboxes of the configuration are made once and follow it, mode and allowlist too', async () => {
  const runtime = (mailbox: object) => ({
    ...api.runtime,
    config: testConfig({ mailboxes: [{ address: 'Configured@ours.example', ...mailbox }] }),
  });
  const db = api.runtime.database.pool;
  const found = async () => (await listMailboxes(db)).filter(({ address }) => /^configured@/i.test(address));
  await Promise.all(
    [1, 2, 3].map(() => provisionMailboxes(runtime({ allowlist: ['*@friends.example', 'a@b.example'] }))),
  );
  const [made, ...others] = await found();
  expect(others).toEqual([]);
  expect(made).toMatchObject({ oversightMode: 'gated_send', displayName: null });

  const changed = runtime({ oversight_mode: 'monitored', display_name: 'C', allowlist: ['a@b.example'] });
  await provisionMailboxes(changed);
  await provisionMailboxes(changed);
  expect(await found()).toMatchObject([{ id: made!.id, oversightMode: 'monitored', displayName: 'C' }]);
  expect((await listAllowlist(db, made!.id)).map(({ pattern }) => pattern)).toEqual(['a@b.example']);
  const { entries } = await audit(`?mailbox=${made!.id}`);
  expect(entries.map(({ action }) => action).sort()).toEqual([
    'allowlist.added',
    'allowlist.added',
    'allowlist.removed',
    'mailbox.created',
    'mailbox.updated',
    'mode.upgraded',
  ]);
});
