/** Who may do what, asked of every operation there is, so that a new one cannot be forgotten; and hostile bodies. */
import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Operation } from '../../api/operation.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { newId } from '../../core/mail/id.ts';
import { SCOPES, type Scope } from '../../core/store/keys.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const NOBODYS = '01JZZZZZZZZZZZZZZZZZZZZZZZ';
const at = ({ path }: Operation, names: Record<string, string> = {}) =>
  path.replace(/:(\w+)/g, (_, name: string) => names[name] ?? NOBODYS);

test('each operation lets in exactly the scopes it names, and admin', async () => {
  const keys = new Map<Scope, string>();
  for (const scope of SCOPES) keys.set(scope, (await api.key({ scopes: [scope] })).apiKey);
  for (const one of OPERATIONS) {
    const named = [one.access].flat() as string[];
    const open = named.includes('any') || named.includes('none');
    for (const [scope, key] of keys) {
      if (scope === 'admin' && one.method === 'DELETE') continue; // would be carried out
      const { status, json } = await api.call(one.method, at(one), { key });
      const refused = status === 403 && json?.code === 'scope_missing';
      const mayEnter = open || scope === 'admin' || named.includes(scope);
      expect(`${one.name} by ${scope}: ${refused ? 'refused' : 'let in'}`).toBe(
        `${one.name} by ${scope}: ${mayEnter ? 'let in' : 'refused'}`,
      );
    }
  }
});

test('a key bound to a mailbox reaches nothing beyond it by any operation, even as an admin', async () => {
  const mine = await api.mailbox('mine@ours.example', 'gated_send');
  const theirs = await api.mailbox('theirs@ours.example', 'gated_send');
  const message = await api.send(theirs.id, { subject: 'Private matter' });
  const capture = await captured(message);
  const key = (await api.key({ scopes: ['admin'], mailboxId: mine.id })).apiKey;
  const secret = new RegExp([theirs.id, theirs.address, message, capture, 'Private matter'].join('|'));

  const before = await api.until(message, 'pending_send_approval');
  const given: Record<string, string> = {
    email_id: message,
    thread_id: message,
    mailbox_id: theirs.id,
    message_id: message,
    mailbox: theirs.address,
    action: 'approve',
    outcome: 'sent',
    markdown: 'm',
    subject: 's',
    to: 'ana@remote.example',
  };
  for (const one of OPERATIONS.filter(({ access }) => access !== 'none')) {
    const id = one.area === 'capture' ? capture : message;
    const names: readonly string[] = one.path.match(/:\w+/g) ?? [];
    const body = Object.fromEntries(
      Object.entries(given).filter(([name]) => name in one.input.shape && !names.includes(`:${name}`)),
    );
    const query = one.name === 'wait_for_email' ? '?timeout_seconds=5' : '';
    const reply = await api.call(one.method, at(one, { ...given, id, capture_id: capture }) + query, {
      key,
      ...(one.method !== 'GET' && { body }),
    });
    const lists = one.confined === true && !one.path.includes(':') && one.method === 'GET';
    // A request that lacks something else is told so before anybody looks for what it names.
    const expected = one.confined !== true ? [403] : lists ? [200, 400, 404] : [400, 404];
    expect(expected, `${one.name} answered ${reply.status}`).toContain(reply.status);
    expect(reply.text, one.name).not.toMatch(secret);
  }
  for (const list of ['/v1/emails', '/v1/queue/emails', '/v1/oversight/pending', '/v1/capture']) {
    for (const filter of [`mailbox=${theirs.id}`, `message_id=${message}`, 'to=ana@remote.example']) {
      const reply = await api.call('GET', `${list}?${filter}`, { key });
      expect(reply.text).not.toMatch(secret);
    }
  }
  const queues = await api.call('GET', '/admin/queues/api/queues', { key });
  expect(queues.status).toBe(403);
  expect(await api.until(message, 'pending_send_approval')).toEqual(before);
});

async function captured(messageId: string): Promise<string> {
  const id = newId();
  await api.runtime.database.pool.query(
    `insert into captures (id, message_id, content_id, reverse_path, forward_paths, subject)
     select $1, id, content_id, reverse_path, forward_paths, subject from messages where id = $2`,
    [id, messageId],
  );
  return id;
}

test('who composed a message approves it by no path and no key of theirs', async () => {
  const mailbox = await api.mailbox('self@ours.example', 'gated_send');
  const principal = { kind: 'user', name: 'both hands' } as const;
  const owner = { kind: 'user', name: 'the owner' } as const;
  const send = (await api.key({ scopes: ['send'], principal })).apiKey;
  const agent = (
    await api.key({ scopes: ['send'], principal: { kind: 'agent', name: 'owned', owner: owner.name } })
  ).apiKey;
  const cases: [composer: string, decider: string][] = [
    [send, (await api.key({ scopes: ['oversight'], principal })).apiKey],
    [send, (await api.key({ scopes: ['admin'], principal })).apiKey],
    [agent, (await api.key({ scopes: ['oversight'], principal: owner })).apiKey],
    [api.keys.admin, api.keys.admin],
  ];
  for (const [composer, key] of cases) {
    const id = await api.send(mailbox.id, {}, composer);
    for (const [path, body] of [
      [`/v1/oversight/emails/${id}/approve`, {}],
      [`/v1/oversight/emails/${id}/reject`, {}],
      ['/v1/oversight/decide', { email_id: id, action: 'approve' }],
      ['/v1/oversight/decide', { message_id: id, action: 'approve' }],
    ] as const)
      expect(await api.call('POST', path, { key, body })).toMatchObject({
        status: 403,
        json: { code: 'self_approval' },
      });
    for (const verb of ['retry', 'settle'])
      expect(
        (
          await api.call('POST', `/v1/emails/${id}/${verb}`, {
            key: api.keys.admin,
            body: { outcome: 'retry' },
          })
        ).status,
      ).toBe(409);
    expect((await api.until(id, 'pending_send_approval')).approved_by).toBeNull();
  }
});

test('nobody without a key makes us read a body', async () => {
  const mailbox = await api.mailbox('early@ours.example', 'gated_send');
  const { hostname, port } = new URL(api.url);
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const path = `/v1/mailboxes/${mailbox.id}/send`;
    const headers = { 'content-type': 'application/json', 'content-length': 30 << 20 };
    const sent = request({ hostname, port, path, method: 'POST', headers }, (response) => {
      resolve(response.statusCode);
      sent.destroy();
    });
    sent.on('error', reject);
    sent.write('{"to":'); // the rest never comes
  });
  expect(status).toBe(401);
});

test('a body of very many values is refused before they are looked at one by one', async () => {
  const mailbox = await api.mailbox('many@ours.example', 'gated_send');
  const path = `/v1/mailboxes/${mailbox.id}/send`;
  const many = '0,'.repeat(2_000_000);
  for (const body of [
    `{"to":[${many}0]}`,
    `{"tags":[${many}0]}`,
    `{"a":[${'['.repeat(50_000)}${']'.repeat(50_000)}]}`,
    `{${Array.from({ length: 20_000 }, (_, n) => `"k${n}":1`).join()}}`,
  ]) {
    const began = performance.now();
    const reply = await api.call('POST', path, { key: api.keys.agent, body });
    expect(reply).toMatchObject({ status: 413, json: { code: 'too_large' } });
    expect(performance.now() - began).toBeLessThan(2000);
  }
  const text = { to: ','.repeat(4 << 20), subject: 's', markdown: 'm' };
  expect(await api.call('POST', path, { key: api.keys.agent, body: text })).toMatchObject({
    status: 400,
    json: { field: 'to' },
  });
  const unknown = Object.fromEntries(Array.from({ length: 5000 }, (_, n) => [`k${n}`.padEnd(100, 'x'), 1]));
  const told = await api.call('POST', path, {
    key: api.keys.agent,
    body: { to: 'a@b.example', subject: 's', markdown: 'm', ...unknown },
  });
  expect(told).toMatchObject({ status: 422, json: { code: 'unknown_field' } });
  expect(told.text.length).toBeLessThan(10_000);
});

test('NUL in a text is refused wherever it stands, for the store cannot hold it', async () => {
  const key = api.keys.admin;
  const held = await api.send((await api.mailbox('nul@ours.example', 'gated_send')).id);
  const cases: [string, string, object?][] = [
    ['GET', '/v1/queue/emails?mailbox=%00'],
    ['GET', '/v1/mailboxes/nul@ours.example/emails?tag=a%00=b'],
    ['GET', '/v1/audit-log?actor=x&actor=%00'],
    ['GET', '/v1/capture?to=%00'],
    ['POST', '/v1/api-keys', { name: 'a\0b' }],
    ['POST', '/v1/mailboxes', { address: 'nul2@ours.example', display_name: 'a\0b' }],
    ['POST', `/v1/oversight/emails/${held}/reject`, { reason: 'a\0b' }],
  ];
  for (const [method, path, body] of cases) {
    const reply = await api.call(method, path, { key, body });
    expect(`${reply.status} ${reply.json.code}`, path).toMatch(/^(400 invalid_field|422 invalid_text)$/);
  }
  // An id with it in it is malformed like any other: it names nothing.
  for (const [method, path] of [
    ['GET', '/v1/mailboxes/%00'],
    ['POST', '/v1/routes/%00/resume'],
  ] as const)
    expect(await api.call(method, path, { key })).toMatchObject({ status: 404, json: { code: 'not_found' } });
});

test('a name that is shown in lists holds nothing that could change the line it stands in', async () => {
  for (const name of ['a\r\nb', 'a\x1b[2J', 'a\u009b2J', 'a\u202eb', 'a\u2028b']) {
    const reply = await api.call('POST', '/v1/api-keys', { key: api.keys.admin, body: { name } });
    expect(`${JSON.stringify(name)} ${reply.status}`).toBe(`${JSON.stringify(name)} 400`);
  }
});

test('a path that cannot be read is answered like any other error, and not repeated', async () => {
  for (const path of ['/v1/%', '/v1/emails/%ff', `/v1/emails/${'x'.repeat(5000)}`]) {
    const reply = await api.call('GET', path, { key: api.keys.admin });
    expect(reply).toMatchObject({ status: 400, json: { code: 'bad_request', status: 400 } });
    expect(reply.text).not.toMatch(/%|xxx/);
    expect(reply.headers.get('x-content-type-options')).toBe('nosniff');
  }
});
