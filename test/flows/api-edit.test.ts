import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../core/mail/id.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const boxes = new Map<string, { id: string; address: string }>();
async function box(mode: 'gated_send' | 'autonomous' | 'gated_all' = 'gated_send') {
  const known = boxes.get(mode);
  if (known !== undefined) return known;
  const made = await api.mailbox(`${mode.replace('_', '-')}@ours.example`, mode);
  boxes.set(mode, made);
  return made;
}

const post = (path: string, body: object, key = api.keys.reviewer) => api.call('POST', path, { key, body });
const edit = (body: object, key?: string) => post('/v1/oversight/edit', body, key);
const decide = (body: object, key?: string) => post('/v1/oversight/decide', body, key);
const review = async (id: string) =>
  (await api.call('GET', `/v1/oversight/emails/${id}`, { key: api.keys.reviewer })).json;
const sql = async (text: string, values: unknown[] = []) =>
  (await api.runtime.database.pool.query(text, values)).rows;
const audit = async (id: string, action: string) =>
  (await sql('select * from audit_events where resource_id = $1 and action = $2 order by seq', [
    id,
    action,
  ])) as {
    metadata: Record<string, unknown>;
    from_state: string | null;
    to_state: string | null;
  }[];

async function held(fields: object = {}, mode: 'gated_send' | 'gated_all' = 'gated_send') {
  const id = await api.send((await box(mode)).id, { markdown: 'One.\nTwo.\nThree.\n', ...fields });
  return { id, before: await review(id) };
}

const LATER = () => new Date(Date.now() + 3_600_000).toISOString();

test('a reviewer changes recipients, subject and text; the message stays held, with a revision that says what', async () => {
  const { id, before } = await held({ cc: ['carl@remote.example'] });
  const edited = await edit({
    email_id: id,
    content_digest: before.content_digest,
    to: ['zoe@other.example'],
    subject: 'Hello again',
    markdown: 'One.\nTwo and a half.\nThree.\n',
    reason: 'kinder',
  });
  expect(edited.status).toBe(200);
  expect(edited.json).toMatchObject({
    id,
    status: 'pending_send_approval',
    previous_digest: before.content_digest,
    changed: ['to', 'subject', 'markdown'],
  });
  expect(edited.json.diff).toContain('-Subject: Hello\n+Subject: Hello again');
  expect(edited.json.diff).toContain(' One.\n-Two.\n+Two and a half.\n Three.');
  expect(edited.json.content_digest).not.toBe(before.content_digest);

  const after = await review(id);
  expect(after).toMatchObject({
    subject: 'Hello again',
    to: ['zoe@other.example'],
    cc: ['carl@remote.example'],
    content_digest: edited.json.content_digest,
    internet_message_id: before.internet_message_id,
    expires_at: before.expires_at,
    envelope: { forward_paths: ['zoe@other.example', 'carl@remote.example'] },
    revisions: [
      {
        content_digest: edited.json.content_digest,
        previous_digest: before.content_digest,
        edited_by: 'reviewer',
        changed: ['to', 'subject', 'markdown'],
        reason: 'kinder',
        diff: edited.json.diff,
      },
    ],
  });
  expect(after.body_markdown).toContain('Two and a half.');
  expect(after.reasons.join()).toContain('edited by reviewer');
  expect(await sql('select address from recipients where message_id = $1 order by n', [id])).toEqual([
    { address: 'zoe@other.example' },
    { address: 'carl@remote.example' },
  ]);
});

test('the audit log has both digests, what changed and to whom it went before and after, and no text', async () => {
  const { id, before } = await held();
  const { json } = await edit({
    email_id: id,
    content_digest: before.content_digest,
    to: ['zoe@other.example'],
    subject: 'Unmistakable subject',
    markdown: 'Unmistakable text',
  });
  const [event, ...others] = await audit(id, 'message.edited');
  expect(others).toEqual([]);
  expect(event!.metadata).toMatchObject({
    content_digest: json.content_digest,
    previous_digest: before.content_digest,
    changed: ['to', 'subject', 'markdown'],
    to_before: ['ana@remote.example'],
    to: ['zoe@other.example'],
  });
  const all = await sql('select metadata::text as text from audit_events where resource_id = $1', [id]);
  expect(JSON.stringify(all)).not.toMatch(/Unmistakable/);
});

test('A-01 what was approved and waits for its hour is held again when it is edited, and needs another approval', async () => {
  const { id, before } = await held({ send_at: LATER() });
  const approved = await decide({ email_id: id, action: 'approve' });
  expect(approved.json).toMatchObject({ status: 'approved', email_status: 'scheduled' });
  const edited = await edit({ email_id: id, content_digest: before.content_digest, markdown: 'Otherwise.' });
  expect(edited.json).toMatchObject({ status: 'pending_send_approval', changed: ['markdown'] });
  expect(await audit(id, 'message.edited')).toMatchObject([{ from_state: 'scheduled', to_state: 'held' }]);
  const { rows } = await api.runtime.database.pool.query(
    'select approved(id, digest, composer_id) as approved, released_by from messages where id = $1',
    [id],
  );
  expect(rows).toEqual([{ approved: false, released_by: null }]);
  expect((await review(id)).reasons.join()).toContain('after it had been approved');
  const email = await api.call('GET', `/v1/emails/${id}`, { key: api.keys.admin });
  expect(email.json).toMatchObject({ approved_at: null, approved_by: null });

  expect((await decide({ email_id: id, action: 'approve' })).json).toMatchObject({
    status: 400,
    code: 'missing_field',
    field: 'content_digest',
  });
  const again = await decide({ email_id: id, action: 'approve', content_digest: edited.json.content_digest });
  expect(again.json).toMatchObject({ status: 'approved', email_status: 'scheduled' });
});

test('what waits for its hour without an approval waits on, unless the gate now says otherwise', async () => {
  const mailbox = await box('autonomous');
  const id = await api.send(mailbox.id, { send_at: LATER() });
  const { content_digest } = await review(id);
  const { json } = await edit({ email_id: id, content_digest, markdown: 'Calm.' });
  expect(json).toMatchObject({ status: 'scheduled' });
  const mixed = await edit({
    email_id: id,
    content_digest: json.content_digest,
    to: ['paypаl@remote.example'],
  });
  expect(mixed.json).toMatchObject({ status: 'pending_send_approval' });
  expect((await review(id)).reasons.join()).toContain('letters of different scripts');
  expect(await sql('select effective_mode from messages where id = $1', [id])).toEqual([
    { effective_mode: 'gated_send' },
  ]);
});

describe('what cannot be edited is said so, and nothing changes', () => {
  test('another content than the one that was seen', async () => {
    const { id, before } = await held();
    const refused = await edit({ email_id: id, content_digest: 'ab'.repeat(32), subject: 'x' });
    expect(refused.json).toMatchObject({
      status: 409,
      code: 'content_changed',
      content_digest: before.content_digest,
    });
    await edit({ email_id: id, content_digest: before.content_digest, subject: 'First' });
    const late = await edit({ email_id: id, content_digest: before.content_digest, subject: 'Second' });
    expect(late.json).toMatchObject({ status: 409, code: 'content_changed' });
    expect((await review(id)).subject).toBe('First');
  });

  test('A-05 what has expired', async () => {
    const { id, before } = await held();
    await sql('update holds set expires_at = now() where message_id = $1', [id]);
    const refused = await edit({ email_id: id, content_digest: before.content_digest, subject: 'x' });
    expect(refused.json).toMatchObject({ status: 410, code: 'expired' });
  });

  test('what has left or was withdrawn', async () => {
    const { id, before } = await held();
    await decide({ email_id: id, action: 'reject', reason: 'no' });
    const order = { email_id: id, content_digest: before.content_digest, subject: 'x' };
    expect((await edit(order)).json).toMatchObject({
      status: 409,
      code: 'not_editable',
      current_status: 'rejected',
    });
  });

  test('nothing to change, an unknown field, no such message, no right to', async () => {
    const { id, before } = await held();
    const order = { email_id: id, content_digest: before.content_digest };
    expect((await edit(order)).json).toMatchObject({ status: 400, code: 'missing_field' });
    expect((await edit({ email_id: id, subject: 'x' })).json).toMatchObject({
      status: 400,
      code: 'missing_field',
    });
    expect((await edit({ ...order, html: 'x' })).json).toMatchObject({ status: 422, code: 'unknown_field' });
    expect((await edit({ ...order, to: [] })).json).toMatchObject({ status: 400 });
    expect((await edit({ ...order, subject: 'a\r\nBcc: x@y.example' })).json).toMatchObject({
      status: 422,
      code: 'header_injection',
    });
    expect((await edit({ ...order, email_id: newId(), subject: 'x' })).status).toBe(404);
    expect((await edit({ ...order, subject: 'x' }, api.keys.agent)).json).toMatchObject({ status: 403 });
    expect(await review(id)).toEqual(before);
  });

  test('what is already as it is asked for leaves no revision', async () => {
    const { id, before } = await held();
    const { json } = await edit({ email_id: id, content_digest: before.content_digest, subject: 'Hello' });
    expect(json).toMatchObject({ changed: [], diff: '', content_digest: before.content_digest });
    expect((await review(id)).revisions).toEqual([]);
  });
});

describe('mail that came by SMTP', () => {
  async function submitted() {
    const { id } = await held();
    // As the submission door leaves it: no draft from which it could be composed.
    await sql('delete from compositions where message_id = $1', [id]);
    await sql(`update messages set source = 'submission' where id = $1`, [id]);
    return { id, before: await review(id) };
  }

  test('only its recipients can be changed, and its bytes stay as they are', async () => {
    const { id, before } = await submitted();
    const order = { email_id: id, content_digest: before.content_digest };
    for (const change of [{ subject: 'x' }, { markdown: 'x' }])
      expect((await edit({ ...order, ...change })).json).toMatchObject({ status: 409, code: 'not_editable' });
    const [bytes] = await sql('select content_id from messages where id = $1', [id]);
    const { json } = await edit({ ...order, bcc: ['eve@remote.example'] });
    expect(json).toMatchObject({ status: 'pending_send_approval', changed: ['bcc'], diff: '' });
    expect(await sql('select content_id from messages where id = $1', [id])).toEqual([bytes]);
    expect((await review(id)).envelope.forward_paths).toEqual(['ana@remote.example', 'eve@remote.example']);
    const approved = await decide({ email_id: id, action: 'approve', content_digest: json.content_digest });
    expect(approved.json).toMatchObject({ status: 'approved_and_sent' });
  });
});

test('who edits may approve, unless the installation says otherwise', async () => {
  const { id, before } = await held();
  const { json } = await edit({ email_id: id, content_digest: before.content_digest, subject: 'x' });
  const order = { email_id: id, action: 'approve', content_digest: json.content_digest };
  expect((await decide(order)).json).toMatchObject({ status: 'approved_and_sent', approved_by: 'reviewer' });

  const strict = await startTestApi({ oversight: { editor_may_approve: false } });
  try {
    const mailbox = await strict.mailbox('strict@ours.example', 'gated_send');
    const held = await strict.send(mailbox.id);
    const ask = (path: string, body: object, key: string) => strict.call('POST', path, { key, body });
    const seen = await strict.call('GET', `/v1/oversight/emails/${held}`, { key: strict.keys.reviewer });
    const edited = await ask(
      '/v1/oversight/edit',
      { email_id: held, content_digest: seen.json.content_digest, subject: 'x' },
      strict.keys.reviewer,
    );
    const approve = { email_id: held, action: 'approve', content_digest: edited.json.content_digest };
    expect((await ask('/v1/oversight/decide', approve, strict.keys.reviewer)).json).toMatchObject({
      status: 403,
      code: 'self_approval',
    });
    const { apiKey: other } = await strict.key({
      scopes: ['oversight'],
      principal: { kind: 'user', name: 'second' },
    });
    expect((await ask('/v1/oversight/decide', approve, other)).json).toMatchObject({
      status: 'approved_and_sent',
    });
  } finally {
    await strict.close();
  }
});

test('A-02 of an approval and an edit at once exactly one wins, and what is let go is what was approved', async () => {
  const outcomes = new Map<string, number>();
  for (let round = 0; round < 40; round++) {
    const { id, before } = await held();
    const seen = before.content_digest;
    const orders = [
      () => decide({ email_id: id, action: 'approve', content_digest: seen }),
      () => edit({ email_id: id, content_digest: seen, markdown: `Round ${round}.` }),
    ];
    const started = (round % 2 === 0 ? orders : orders.toReversed()).map((order) => order());
    const answers = await Promise.all(started);
    const [approval, edited] = round % 2 === 0 ? answers : answers.toReversed();
    const won = `${approval!.status} ${edited!.status}`;
    outcomes.set(won, (outcomes.get(won) ?? 0) + 1);
    expect(['200 409', '409 200']).toContain(won);
    const [row] = await sql(
      `select state, encode(digest, 'hex') as digest, approved(id, digest, composer_id) as approved
         from messages where id = $1`,
      [id],
    );
    if (approval!.status === 200) expect(row).toEqual({ state: 'queued', digest: seen, approved: true });
    else expect(row).toEqual({ state: 'held', digest: edited!.json.content_digest, approved: false });
  }
  expect([...outcomes.values()].reduce((sum, n) => sum + n, 0)).toBe(40);
}, 60_000);

test('of two edits at once one wins, and the other is told that the content changed', async () => {
  for (let round = 0; round < 10; round++) {
    const { id, before } = await held();
    const answers = await Promise.all(
      ['first', 'second'].map((subject) =>
        edit({ email_id: id, content_digest: before.content_digest, subject }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect((await review(id)).revisions).toHaveLength(1);
  }
});
