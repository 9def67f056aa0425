/** The forms in which clients of different kinds call: each is a translation, and every one is answered. */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HOSTED_TOOLS, hostedPaths } from '../../api/dialects/hosted.ts';
import { DIALECTS, toolPaths } from '../../api/dialects/paths.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { acceptWithin } from '../../core/store/accept.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { arrivalOf } from '../support/oversight.ts';

let api: TestApi;
let agent: string;
let first: { id: string; address: string };
let second: { id: string; address: string };
beforeAll(async () => {
  api = await startTestApi();
  agent = api.keys.agent;
  first = await api.mailbox('first@ours.example', 'gated_send');
  second = await api.mailbox('second@ours.example', 'gated_send');
});
afterAll(() => api.close());

const NOBODYS = '01JZZZZZZZZZZZZZZZZZZZZZZZ';
const post = (path: string, body: unknown, key = agent) => api.call('POST', path, { key, body });
const get = (path: string, key = agent) => api.call('GET', path, { key });
const mail = (more: object = {}) => ({
  to: 'ana@remote.example',
  subject: `Subject ${Math.random()}`,
  ...more,
});

/** Mail of a stranger that has arrived in the first mailbox. */
async function received(subject: string): Promise<string> {
  const arrival = arrivalOf({
    mailboxId: first.id,
    direction: 'inbound',
    source: 'mx',
    reversePath: 'stranger@remote.example',
    forwardPaths: [first.address],
    header: `From: <stranger@remote.example>\r\nSubject: ${subject}\r\n`,
    subject,
  });
  const { id } = arrival.messages[0]!;
  await acceptWithin(api.runtime.database.pool, arrival);
  api.runtime.bells.ring('policy', [id]);
  await api.until(id, 'unread');
  return id;
}

test('every path of the table is answered, and asks for a key where its operation does', async () => {
  const access = new Map(OPERATIONS.map((one) => [one.name, one.access]));
  for (const { method, path, operation } of [...DIALECTS, ...toolPaths(OPERATIONS)]) {
    const reply = await api.call(method, path.replace(/:\w+/g, NOBODYS), {
      ...(method !== 'GET' && { body: {} }),
    });
    const open = access.get(operation) === 'none';
    expect(`${method} ${path} ${open || reply.status === 401}`).toBe(`${method} ${path} true`);
    expect(reply.json?.code ?? '', path).not.toMatch(/unknown_route|method_not_allowed/);
  }
});

describe('which mailbox is meant', () => {
  const senderOf = async (body: object, key = agent) => {
    const { status, json } = await post('/v1/send_email', { ...mail({ markdown: 'm' }), ...body }, key);
    return status === 202 ? (await get(`/v1/emails/${json.id}`, api.keys.admin)).json.from : json.code;
  };

  test('the one that is named: by id, by address, by the sender', async () => {
    expect(await senderOf({ mailbox_id: second.id })).toBe(second.address);
    expect(await senderOf({ mailbox: second.address })).toBe(second.address);
    expect(await senderOf({ from: second.address })).toBe(second.address);
    expect(await senderOf({ mailbox_id: first.id, mailbox: first.address })).toBe(first.address);
  });

  test('two that differ are refused, and so is a sender that is no mailbox', async () => {
    expect(await senderOf({ mailbox_id: first.id, mailbox: second.address })).toBe('conflicting_fields');
    expect(await senderOf({ mailbox_id: first.id, from: second.address })).toBe('unknown_sender');
    expect(await senderOf({ from: 'nobody@ours.example' })).toBe('unknown_sender');
    expect(await senderOf({ from: 'not an address' })).toBe('invalid_address');
    expect(await senderOf({ mailbox: 'nobody@ours.example' })).toBe('not_found');
  });

  test('of several, none is guessed: they are listed', async () => {
    const reply = await post('/v1/send_email', mail({ markdown: 'm' }));
    expect(reply).toMatchObject({ status: 400, json: { code: 'mailbox_required', field: 'mailbox_id' } });
    expect(reply.json.mailboxes).toEqual(
      expect.arrayContaining([
        { id: first.id, address: first.address },
        { id: second.id, address: second.address },
      ]),
    );
  });

  test("a key's own mailbox needs no name, and no other may be named by it", async () => {
    const bound = (await api.key({ scopes: ['send', 'read'], mailboxId: second.id })).apiKey;
    expect(await senderOf({}, bound)).toBe(second.address);
    expect(await senderOf({ from: first.address }, bound)).toBe('unknown_sender');
    expect(await senderOf({ mailbox_id: first.id }, bound)).toBe('not_found');
    const theirs = await api.send(first.id);
    const unknown = await get(`/v1/read_email?email_id=${NOBODYS}`, bound);
    expect(unknown.json.code).toBe('not_found');
    expect((await get(`/v1/read_email?email_id=${theirs}`, bound)).json).toEqual(unknown.json);
    expect((await post('/v1/cancel_message', { email_id: theirs }, bound)).json.code).toBe('not_found');
  });

  test('the one of the message that the call is about', async () => {
    const id = await api.send(second.id, { subject: 'Found by its id' });
    for (const path of [
      `/v1/emails/${id}`,
      `/v1/read_email?email_id=${id}`,
      `/v1/read_email?message_id=${id}`,
      `/v1/mailboxes/${second.id}/emails/${id}`,
      `/v1/mailboxes/${encodeURIComponent(second.address)}/emails/${id}`,
    ]) {
      const reply = await get(path);
      expect(`${path} ${reply.json.subject}`).toBe(`${path} Found by its id`);
    }
    expect((await get(`/v1/mailboxes/${first.id}/emails/${id}`)).json.code).toBe('not_found');
    expect((await get(`/v1/emails/${NOBODYS}`)).json.code).toBe('not_found');
    expect((await get('/v1/emails/no-id')).json.code).toBe('not_found');
    expect((await get('/v1/read_email')).json).toMatchObject({ code: 'missing_field', field: 'email_id' });
  });

  test('what is named in the path is not named otherwise in the body', async () => {
    const path = `/v1/mailboxes/${first.id}/send`;
    expect((await post(path, mail({ markdown: 'm', mailbox_id: second.id }))).json.code).toBe(
      'conflicting_fields',
    );
    expect((await post(path, mail({ markdown: 'm', mailbox_id: first.address }))).status).toBe(202);
    const id = await api.send(first.id);
    const cancel = await post(`/v1/emails/${id}/cancel`, { email_id: NOBODYS });
    expect(cancel.json).toMatchObject({ code: 'conflicting_fields', field: 'email_id' });
  });
});

describe('the calls by the names of tools', () => {
  test('send, list, cancel', async () => {
    const sent = await post('/v1/send_email', {
      from: first.address,
      to: ['ana@remote.example'],
      subject: 'By its name',
      body: 'text',
      oversight_mode: 'monitored',
      tags: ['run-1'],
    });
    expect(sent).toMatchObject({
      status: 202,
      json: { pending_approval: true, oversight_mode: 'gated_send' },
    });
    const { message_id } = sent.json;
    const listed = await get('/v1/list_pending?tag=run-1');
    expect(Object.keys(listed.json)[0]).toBe('emails');
    for (const list of ['emails', 'pending', 'messages'])
      expect(listed.json[list].map((one: { message_id: string }) => one.message_id)).toEqual([message_id]);
    expect(JSON.stringify([listed.json.pending, listed.json.messages])).not.toContain('body_markdown');
    const cancelled = await post('/v1/cancel_message', { message_id });
    expect(cancelled).toMatchObject({ status: 200, json: { status: 'cancelled', message_id } });
    expect((await get('/v1/list_pending?tag=run-1')).json.messages).toEqual([]);
  });

  test('the inbox, by GET and by POST, also under messages and without any text', async () => {
    const id = await api.send(first.id, { subject: 'Listed', markdown: 'its secret text' });
    await api.until(id, 'pending_send_approval');
    for (const reply of [
      await get(`/v1/check_inbox?mailbox=${first.address}&subject_contains=Listed&status=pending_approval`),
      await post('/v1/check_inbox', { mailbox_id: first.id, subject_contains: 'Listed', limit: 5 }),
    ]) {
      expect(reply.status).toBe(200);
      expect(reply.json.emails.map((one: { id: string }) => one.id)).toContain(id);
      expect(reply.json.messages).toEqual(reply.json.emails);
      expect(reply.text).not.toContain('its secret text');
    }
  });

  test('decide, in the words of either dialect', async () => {
    const key = api.keys.reviewer;
    for (const [path, body] of [
      ['/v1/decide_email', { message_id: 'ID', decision: 'reject', reason: 'no' }],
      ['/v1/oversight/decide', { email_id: 'ID', action: 'reject' }],
      ['/v1/emails/ID/decide', { decision: 'reject' }],
      ['/v1/oversight/emails/ID/reject', {}],
    ] as const) {
      const id = await api.send(first.id);
      await api.until(id, 'pending_send_approval');
      const filled = JSON.parse(JSON.stringify(body).replaceAll('ID', id));
      const reply = await post(path.replace('ID', id), filled, key);
      expect(`${path} ${reply.status} ${reply.json.status}`).toBe(`${path} 200 rejected`);
    }
  });
});

describe('forms of an automation platform', () => {
  const zap = (method: string, path: string, body?: unknown) =>
    api.call(method, path, { headers: { 'x-api-key': agent }, ...(body !== undefined && { body }) });

  test('lists are texts with commas, the mailbox is an address', async () => {
    const sent = await zap('POST', '/v1/emails/send', {
      to: 'ana@remote.example, bob@remote.example',
      cc: 'eve@remote.example',
      subject: 'From a form',
      body: 'typed in',
      mailbox: first.address,
      reply_to: 'desk@remote.example',
    });
    expect(sent).toMatchObject({ status: 202, json: { status: 'pending_scan' } });
    const { json } = await get(`/v1/emails/${sent.json.id}`);
    expect(json.to).toEqual(expect.arrayContaining(['ana@remote.example', 'bob@remote.example']));
    expect(json.cc).toEqual(['eve@remote.example']);
    expect(json.body).toContain('typed in');

    const tagged = await zap('POST', `/v1/emails/${sent.json.id}/tag`, { tags: 'urgent, todo' });
    expect(tagged).toMatchObject({
      status: 200,
      json: { id: sent.json.id, tags: expect.arrayContaining(['todo', 'urgent']) },
    });
    expect((await zap('POST', `/v1/emails/${sent.json.id}/tag`, { tags: ['more'] })).json.tags).toContain(
      'more',
    );
  });

  test('the inbox has the text, here only, and reading it marks nothing as read', async () => {
    const id = await received('An offer');
    const reply = await zap('GET', `/v1/emails/inbox?mailbox=${encodeURIComponent(first.address)}`);
    expect(reply.status).toBe(200);
    const item = reply.json.emails.find((one: { id: string }) => one.id === id);
    expect(item).toMatchObject({
      subject: 'An offer',
      status: 'unread',
      body: expect.stringMatching(/\w/),
    });
    expect(reply.json.emails.every((one: { direction: string }) => one.direction === 'inbound')).toBe(true);
    expect(await get(`/v1/mailboxes/${first.id}/emails/${id}/tags`)).toMatchObject({ status: 200 });
    const again = await zap('GET', `/v1/emails/inbox?mailbox=${first.address}&status=unread`);
    expect(again.json.emails.map((one: { id: string }) => one.id)).toContain(id);
    const answered = await zap('POST', `/v1/emails/${id}/reply`, {
      body: 'no, thank you',
      mailbox: first.address,
    });
    expect(answered).toMatchObject({ status: 202, json: { id: expect.any(String) } });
    const thread = await zap('GET', `/v1/emails/thread/${answered.json.thread_id}`);
    expect(thread.json.emails.map((one: { id: string }) => one.id)).toEqual([id, answered.json.id]);
  });

  test('what waits, in three lists', async () => {
    const reply = await zap('GET', '/v1/emails/pending');
    expect(Object.keys(reply.json)).toEqual(['emails', 'pending', 'messages', 'cursor']);
  });

  test('a first word of a path is a word, not an id', async () => {
    for (const word of ['inbox', 'pending', 'send'])
      expect((await zap('DELETE', `/v1/emails/${word}`)).status).toBe(405);
    expect((await zap('GET', '/v1/emails/inbox?mailbox=nobody@ours.example')).json.code).toBe('not_found');
  });
});

test.each([
  ['approve', 'reject', 'approved_and_sent'],
  ['reject', 'approve', 'rejected'],
])(
  'a path that ends in %s decides so, and nothing in the body says otherwise',
  async (action, other, status) => {
    const id = await api.send(first.id, { subject: `To ${action}` });
    const decide = (body: object) => post(`/v1/oversight/emails/${id}/${action}`, body, api.keys.reviewer);
    for (const member of ['action', 'decision'])
      expect((await decide({ [member]: other })).json.code).toBe('conflicting_fields');
    expect((await decide({ reasn: 'misspelt' })).json.code).toBe('unknown_field');
    expect(await decide({ reason: 'Seen.', action })).toMatchObject({ status: 200, json: { id, status } });
  },
);

describe('what belongs to the hosted service', () => {
  test('each path says so, needs no key, and names what to do here', async () => {
    let told = 0;
    for (const { methods, path } of hostedPaths())
      for (const method of methods) {
        const reply = await api.call(method, path.replace(/:\w+/, 'x').replace('*', 'a/b'), {
          ...(method !== 'GET' && { body: 'this is { no JSON', headers: { 'content-type': 'text/plain' } }),
        });
        expect(`${method} ${path} ${reply.status}`).toBe(`${method} ${path} 404`);
        expect(reply.json).toMatchObject({ code: 'hosted_only', hint: expect.stringMatching(/\w+.*\.$/) });
        told += 1;
      }
    expect(told).toBeGreaterThan(30);
    for (const { name } of HOSTED_TOOLS)
      expect(await post(`/v1/${name}`, {})).toMatchObject({ status: 404, json: { code: 'hosted_only' } });
  });

  test('the body is not read', async () => {
    const { hostname, port } = new URL(api.url);
    const status = await new Promise<number | undefined>((resolve, reject) => {
      const sent = request(
        { hostname, port, path: '/v1/support', method: 'POST', headers: { 'content-length': 30 << 20 } },
        (response) => {
          resolve(response.statusCode);
          sent.destroy();
        },
      );
      sent.on('error', reject);
      sent.write('{'); // the rest never comes
    });
    expect(status).toBe(404);
  });

  test('what is ours on the same path stays ours', async () => {
    expect((await get('/v1/account')).status).toBe(200);
    const reply = await api.call('PUT', '/v1/account', { key: agent, body: {} });
    expect(reply.status).toBe(405);
    expect(reply.headers.get('allow')).toBe('DELETE, GET, HEAD, PATCH');
  });
});
