import { afterAll, beforeAll, expect, test } from 'vitest';
import { acceptWithin } from '../../core/store/accept.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { arrivalOf } from '../support/oversight.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

test('mail sent by REST waits for a reviewer, is approved for what was seen, and goes on its way', async () => {
  const { agent, reviewer, admin } = api.keys;
  const mailbox = await api.mailbox('one@ours.example', 'gated_send');
  const sent = await api.call('POST', `/v1/mailboxes/${mailbox.address}/send`, {
    key: agent,
    body: {
      to: ['ana@remote.example'],
      bcc: 'bob@remote.example',
      subject: 'Grüße',
      markdown: 'Zeile eins\nZeile zwei\n',
      tags: { run: '7' },
    },
  });
  expect(sent.status).toBe(202);
  expect(sent.json).toMatchObject({
    status: 'pending_scan',
    pending_approval: true,
    oversight_mode: 'gated_send',
  });
  const { id } = sent.json;

  const held = await api.until(id, 'pending_send_approval');
  expect(held.reasons.length).toBeGreaterThan(0);
  const pending = await api.call('GET', '/v1/oversight/pending?tag=run=7', { key: reviewer });
  expect(pending.json.emails).toHaveLength(1);
  const { body_markdown, ...waiting } = pending.json.emails[0];
  expect(body_markdown).toContain('Zeile zwei');
  expect(pending.json.pending).toEqual([waiting]);
  expect(pending.json.messages).toEqual([waiting]);
  expect(pending.json.emails[0]).toMatchObject({
    id,
    subject: 'Grüße',
    to: ['ana@remote.example'],
    bcc: ['bob@remote.example'],
  });
  const digest = pending.json.emails[0].content_digest;

  const raw = await api.call('GET', `/v1/emails/${id}/raw`, { key: reviewer });
  expect(raw.headers.get('content-type')).toBe('message/rfc822');
  expect(raw.headers.get('content-disposition')).toMatch(/^attachment/);
  expect(raw.headers.get('x-content-type-options')).toBe('nosniff');
  expect(raw.text).not.toMatch(/bob@|[^\r]\n/);

  const other = await api.call('POST', '/v1/oversight/decide', {
    key: reviewer,
    body: { email_id: id, action: 'approve', content_digest: '0'.repeat(64) },
  });
  expect(other).toMatchObject({ status: 409, json: { code: 'content_changed', content_digest: digest } });

  const approved = await api.call('POST', '/v1/oversight/decide', {
    key: reviewer,
    body: { email_id: id, action: 'approve', content_digest: digest, reason: 'fine' },
  });
  expect(approved).toMatchObject({
    status: 200,
    json: { status: 'approved_and_sent', email_status: 'queued', approved_by: 'reviewer' },
  });
  const again = await api.call('POST', `/v1/oversight/emails/${id}/approve`, { key: reviewer });
  expect(again.status).toBe(200);
  const late = await api.call('POST', `/v1/oversight/emails/${id}/reject`, { key: admin });
  expect(late).toMatchObject({ status: 409, json: { code: 'already_decided', decided_by: 'reviewer' } });

  const log = await api.call('GET', `/v1/audit-log?message_id=${id}`, { key: admin });
  const actions = log.json.entries.map(({ action }: { action: string }) => action);
  expect(actions.reverse()).toEqual([
    'message.accepted',
    'message.held',
    'approval.refused',
    'message.approved',
    'approval.refused',
  ]);
  expect(log.text).not.toMatch(/Grüße|Zeile/);
});

test('who composed a message never approves it, whatever the key may do', async () => {
  const mailbox = await api.mailbox('self@ours.example', 'gated_send');
  const byAdmin = await api.send(mailbox.id, {}, api.keys.admin);
  const refused = await api.call('POST', `/v1/oversight/emails/${byAdmin}/approve`, { key: api.keys.admin });
  expect(refused).toMatchObject({ status: 403, json: { code: 'self_approval' } });

  // a second key of the same principal, with another scope
  const other = await api.key({ scopes: ['oversight'], principal: { kind: 'agent', name: 'agent' } });
  const byAgent = await api.send(mailbox.id);
  const again = await api.call('POST', `/v1/oversight/emails/${byAgent}/approve`, { key: other.apiKey });
  expect(again).toMatchObject({ status: 403, json: { code: 'self_approval' } });

  // the person who answers for an agent composed with it
  const owned = await api.key({
    scopes: ['send'],
    principal: { kind: 'agent', name: 'bot', owner: 'reviewer' },
  });
  const byBot = await api.send(mailbox.id, {}, owned.apiKey);
  const third = await api.call('POST', `/v1/oversight/emails/${byBot}/approve`, { key: api.keys.reviewer });
  expect(third).toMatchObject({ status: 403, json: { code: 'self_approval' } });
  expect((await api.until(byBot, 'pending_send_approval')).status).toBe('pending_send_approval');
});

test('a caller may ask for a stricter mode and is never given a looser one', async () => {
  const mailbox = await api.mailbox('modes@ours.example', 'monitored');
  const body = { to: ['ana@remote.example'], subject: 'Hello', markdown: 'x' };
  const path = `/v1/mailboxes/${mailbox.id}/send`;
  const ask = (oversight_mode: string) =>
    api.call('POST', path, { key: api.keys.agent, body: { ...body, oversight_mode } });
  expect((await ask('gated_send')).json).toMatchObject({
    oversight_mode: 'gated_send',
    pending_approval: true,
  });
  expect((await ask('autonomous')).json).toMatchObject({
    oversight_mode: 'monitored',
    requested_oversight_mode: 'autonomous',
    pending_approval: false,
  });
  expect(await ask('read_only')).toMatchObject({ status: 403, json: { code: 'read_only' } });
  expect(await ask('open')).toMatchObject({
    status: 400,
    json: { code: 'unknown_mode', field: 'oversight_mode' },
  });
  const misspelt = await api.call('POST', path, {
    key: api.keys.agent,
    body: { ...body, oversightmode: 'gated_all' },
  });
  expect(misspelt).toMatchObject({ status: 422, json: { code: 'unknown_field', field: 'oversightmode' } });
});

test('a mailbox is tightened by an admin key and loosened by none', async () => {
  const mailbox = await api.mailbox('ladder@ours.example', 'gated_send');
  const path = `/v1/mailboxes/${mailbox.id}`;
  const patch = (body: object) => api.call('PATCH', path, { key: api.keys.admin, body });
  expect(await patch({ oversight_mode: 'gated_all', display_name: 'Ladder' })).toMatchObject({
    status: 200,
    json: { mailbox: { oversight_mode: 'gated_all', display_name: 'Ladder' } },
  });
  const loosened = await patch({ oversight_mode: 'autonomous', display_name: 'Other' });
  expect(loosened).toMatchObject({ status: 400, json: { code: 'upgrade_required' } });
  const { json } = await api.call('GET', path, { key: api.keys.admin });
  expect(json).toMatchObject({ oversight_mode: 'gated_all', display_name: 'Ladder' });

  const looser = await api.confirm('POST', '/v1/mailboxes', {
    key: api.keys.admin,
    body: { address: 'fresh@ours.example', oversight_mode: 'autonomous' },
  });
  expect(looser).toMatchObject({
    status: 201,
    json: { oversight_mode: 'gated_send', requested_oversight_mode: 'autonomous' },
  });
  const taken = await api.call('POST', '/v1/mailboxes', {
    key: api.keys.admin,
    body: { address: 'Fresh@ours.example' },
  });
  expect(taken).toMatchObject({ status: 409, json: { code: 'address_in_use' } });
  const log = await api.call('GET', `/v1/audit-log?mailbox=${mailbox.address}&action=mode.*`, {
    key: api.keys.admin,
  });
  expect(log.json.entries.map(({ action }: { action: string }) => action)).toEqual(['mode.tightened']);
});

test('a cancelled message stays cancelled, and says what can no longer be cancelled', async () => {
  const mailbox = await api.mailbox('cancel@ours.example', 'gated_send');
  const id = await api.send(mailbox.id);
  const cancel = () => api.call('POST', `/v1/emails/${id}/cancel`, { key: api.keys.agent });
  expect(await cancel()).toMatchObject({ status: 200, json: { id, status: 'cancelled' } });
  expect(await cancel()).toMatchObject({ status: 200, json: { id, status: 'cancelled' } });
  const approve = await api.call('POST', `/v1/oversight/emails/${id}/approve`, { key: api.keys.reviewer });
  expect(approve.status).toBe(409);

  const rejected = await api.send(mailbox.id);
  await api.call('POST', `/v1/oversight/emails/${rejected}/reject`, {
    key: api.keys.reviewer,
    body: { reason: 'no' },
  });
  const late = await api.call('POST', `/v1/emails/${rejected}/cancel`, { key: api.keys.agent });
  expect(late).toMatchObject({ status: 409, json: { code: 'not_cancellable', current_status: 'rejected' } });
  const shown = await api.call('GET', `/v1/emails/${rejected}`, { key: api.keys.agent });
  expect(shown.json).toMatchObject({ status: 'rejected', rejection_reason: 'no' });
});

test('explain says why a message waits, who may end that, and when it ends by itself', async () => {
  const mailbox = await api.mailbox('explain@ours.example', 'gated_send');
  const id = await api.send(mailbox.id);
  const held = await api.call('GET', `/v1/emails/${id}/explain`, { key: api.keys.agent });
  expect(held.json.because[0]).toMatch(/^It is held: /);
  expect(held.json.next.join(' ')).toMatch(/oversight.*not agent.*expires/s);
  await api.call('POST', `/v1/oversight/emails/${id}/approve`, { key: api.keys.reviewer });
  const queued = await api.call('GET', `/v1/emails/${id}/explain`, { key: api.keys.agent });
  expect(queued.json.because.join(' ')).toMatch(/reviewer approved it.*due on the route capture/s);
});

test('mail with the same idempotency key is sent once', async () => {
  const mailbox = await api.mailbox('once@ours.example', 'gated_send');
  const path = `/v1/mailboxes/${mailbox.id}/send`;
  const body = { to: 'ana@remote.example', subject: 'Once', body: 'x', idempotency_key: 'k-1' };
  const all = await Promise.all(
    [1, 2, 3, 4].map(() => api.call('POST', path, { key: api.keys.agent, body })),
  );
  expect(all.map(({ status }) => status).sort()).toEqual([200, 200, 200, 202]);
  expect(new Set(all.map(({ json }) => json.id)).size).toBe(1);
  const other = await api.call('POST', path, { key: api.keys.agent, body: { ...body, subject: 'Other' } });
  expect(other).toMatchObject({ status: 409, json: { code: 'idempotency_mismatch' } });
  const { json } = await api.call('GET', `/v1/mailboxes/${mailbox.id}/emails`, { key: api.keys.agent });
  expect(json.emails).toHaveLength(1);
});

test('what cannot be sent is refused with its field, and nothing is stored', async () => {
  const mailbox = await api.mailbox('refuse@ours.example', 'autonomous');
  const good = { to: ['ana@remote.example'], subject: 'Hello', markdown: 'x' };
  const cases: [object, number, string, string][] = [
    [{ to: ['ana@remote.example\r\nBcc: eve@evil.example'] }, 422, 'header_injection', 'to'],
    [{ to: ['a@b@c.example'] }, 422, 'invalid_address', 'to'],
    [{ to: [] }, 400, 'invalid_field', 'to'],
    [{ to: undefined }, 400, 'missing_field', 'to'],
    [{ to: Array.from({ length: 51 }, () => 'x') }, 400, 'invalid_field', 'to'],
    [{ subject: 'a\r\nBcc: eve@evil.example' }, 422, 'header_injection', 'subject'],
    [{ subject: 'a\u2028b' }, 422, 'header_injection', 'subject'],
    [{ markdown: 'a\0b' }, 422, 'invalid_text', 'markdown'],
    [{ markdown: undefined }, 400, 'missing_field', 'markdown'],
    [{ html: '<p>' }, 422, 'unknown_field', 'html'],
    [{ from: 'ceo@ours.example' }, 422, 'unknown_sender', 'from'],
    [{ send_at: '2099-01-01T00:00:00' }, 400, 'send_at_invalid', 'send_at'],
    [{ send_at: '2001-01-01T00:00:00Z' }, 400, 'send_at_past', 'send_at'],
    [{ tags: { constructor: 'x' } }, 400, 'invalid_field', 'tags.constructor'],
  ];
  for (const [change, status, code, field] of cases) {
    const refused = await api.call('POST', `/v1/mailboxes/${mailbox.id}/send`, {
      key: api.keys.agent,
      body: { ...good, ...change },
    });
    expect({ ...refused.json, given: change }).toMatchObject({ status, code, field });
  }
  const { json } = await api.call('GET', `/v1/mailboxes/${mailbox.id}/emails`, { key: api.keys.agent });
  expect(json.emails).toEqual([]);
});

test('scheduled mail waits for its time', async () => {
  const mailbox = await api.mailbox('later@ours.example', 'autonomous');
  const send_at = new Date(Date.now() + 3_600_000).toISOString();
  const id = await api.send(mailbox.id, { send_at });
  expect(await api.until(id, 'scheduled')).toMatchObject({ send_at });
});

test('an owner nobody has heard of yet is kept from approving all the same', async () => {
  const mailbox = await api.mailbox('owner@ours.example', 'gated_send');
  const bot = await api.key({
    scopes: ['send'],
    principal: { kind: 'agent', name: 'bot-2', owner: 'newcomer' },
  });
  const id = await api.send(mailbox.id, {}, bot.apiKey);
  const owner = await api.key({ scopes: ['oversight'], principal: { kind: 'user', name: 'newcomer' } });
  const refused = await api.call('POST', `/v1/oversight/emails/${id}/approve`, { key: owner.apiKey });
  expect(refused).toMatchObject({ status: 403, json: { code: 'self_approval' } });
});

test('an agent learns of inbound mail in gated_all when a reviewer has let it in', async () => {
  const mailbox = await api.mailbox('inbound@ours.example', 'gated_all');
  const { agent, reviewer } = api.keys;
  const arrival = arrivalOf({
    mailboxId: mailbox.id,
    direction: 'inbound',
    source: 'mx',
    reversePath: 'stranger@remote.example',
    forwardPaths: [mailbox.address],
    header: 'From: <stranger@remote.example>\r\nSubject: Secret\r\n',
    subject: 'Secret',
  });
  const { id } = arrival.messages[0]!;
  await acceptWithin(api.runtime.database.pool, arrival);
  api.runtime.bells.ring('policy', [id]);
  await api.until(id, 'pending_inbound_approval');

  const list = async (query: string, key: string) =>
    (await api.call('GET', `/v1/mailboxes/${mailbox.id}/emails?${query}`, { key })).json.emails;
  expect(await list('', agent)).toEqual([]);
  const waiting = await list('status=pending_inbound_approval', agent);
  expect(waiting).toMatchObject([{ id, from: '', status: 'pending_inbound_approval' }]);
  expect(JSON.stringify(waiting)).not.toMatch(/Secret|stranger/);
  for (const path of ['', '/raw', '/explain']) {
    const refused = await api.call('GET', `/v1/emails/${id}${path}`, { key: agent });
    expect(refused).toMatchObject({ status: 403, json: { code: 'held_for_approval' } });
  }
  const approved = await api.call('POST', `/v1/oversight/emails/${id}/approve`, { key: reviewer });
  expect(approved.json).toMatchObject({ status: 'approved', email_status: 'unread' });
  expect(await list('', agent)).toMatchObject([{ id, from: 'stranger@remote.example', subject: 'Secret' }]);
});
