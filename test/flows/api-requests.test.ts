/** What every request may look like, and what of it is refused, whatever operation it asks for. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let mailbox: { id: string; address: string };
beforeAll(async () => {
  api = await startTestApi();
  mailbox = await api.mailbox('desk@ours.example', 'gated_send');
});
afterAll(() => api.close());

/** A request with a body of exactly these bytes, of this type or of none. */
async function raw(
  method: string,
  path: string,
  body: string | undefined,
  type?: string,
  key = api.keys.admin,
) {
  const response = await fetch(`${api.url}${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(type !== undefined && { 'content-type': type }) },
    ...(body !== undefined && { body: new TextEncoder().encode(body) }),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: text === '' ? undefined : JSON.parse(text),
  };
}

const contact = (n: number | string) => JSON.stringify({ email: `c${n}@remote.example` });

describe('bodies', () => {
  test.each([
    undefined,
    'application/json',
    'application/json; charset=utf-8',
    'application/vnd.api+json',
    'APPLICATION/JSON',
  ])('are JSON objects: %s', async (type) => {
    expect((await raw('POST', '/v1/contacts', contact('type'), type)).status).toBe(201);
  });

  test.each([
    'text/plain',
    'application/xml',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'text/json',
    'x',
  ])('of the type %s are refused before they are read', async (type) => {
    expect(await raw('POST', '/v1/contacts', '{}', type)).toMatchObject({
      status: 415,
      json: { code: 'unsupported_media_type' },
    });
  });

  test.each([
    ['"eyJlbWFpbCI6ICJhQGIuZXhhbXBsZSJ9"', 'bad_request'],
    [JSON.stringify(contact(1)), 'bad_request'],
    ['[{"email":"a@b.example"}]', 'bad_request'],
    ['null', 'bad_request'],
    ['{"email":"a@b.example"', 'bad_request'],
    ['{"email":"a@b.example"}}', 'bad_request'],
    ['{"__proto__":{"email":"a@b.example"}}', 'bad_request'],
    ['{"email":"a@b.example","constructor":"x"}', 'invalid_field'],
    ['{}', 'missing_field'],
    ['', 'missing_field'],
    ['  ', 'missing_field'],
  ])('%s is %s', async (body, code) => {
    expect(await raw('POST', '/v1/contacts', body, 'application/json')).toMatchObject({
      status: 400,
      json: { code },
    });
  });

  test('none counts as an empty object for every method, also where JSON is promised', async () => {
    for (const type of [undefined, 'application/json']) {
      expect((await raw('GET', '/v1/account', undefined, type)).status).toBe(200);
      const { json } = await raw('POST', '/v1/contacts', contact('gone'));
      expect((await raw('DELETE', `/v1/contacts/${json.id}`, undefined, type)).json).toEqual({
        deleted: true,
      });
      const id = await api.send(mailbox.id);
      expect((await raw('POST', `/v1/emails/${id}/cancel`, undefined, type)).json.status).toBe('cancelled');
    }
  });

  test('DELETE may carry one, also with nothing in it', async () => {
    for (const body of ['{}', '{"approval_code":"x"}', '{"unheard_of":1}']) {
      const { json } = await raw('POST', '/v1/contacts', contact('body'));
      const reply = await raw('DELETE', `/v1/contacts/${json.id}`, body);
      expect(`${body} ${reply.status} ${reply.json.deleted}`).toBe(`${body} 200 true`);
    }
  });

  test('one that says no length is counted while it is read', async () => {
    const piece = new TextEncoder().encode(' '.repeat(1 << 16));
    let sent = 0;
    const body = new ReadableStream({
      pull(controller) {
        sent += 1;
        if (sent > 64) controller.close();
        else controller.enqueue(piece);
      },
    });
    const reply = await fetch(`${api.url}/v1/contacts`, {
      method: 'POST',
      headers: { authorization: `Bearer ${api.keys.admin}`, 'content-type': 'application/json' },
      body,
      duplex: 'half',
    } as RequestInit).catch(() => undefined);
    // The connection may break before the answer can be read: what was not read is not wanted.
    if (reply !== undefined) expect(reply.status).toBe(413);
    expect((await raw('GET', '/v1/account', undefined)).status).toBe(200);
  });

  test('a compressed one is refused, whatever its type', async () => {
    const reply = await api.call('POST', '/v1/contacts', {
      key: api.keys.admin,
      body: '{}',
      headers: { 'content-encoding': 'br' },
    });
    expect(reply).toMatchObject({ status: 415, json: { code: 'unsupported_media_type' } });
  });
});

describe('fields', () => {
  const post = (path: string, body: unknown) => api.call('POST', path, { key: api.keys.admin, body });

  test('unknown ones are ignored and told, where nothing is lost by it', async () => {
    const made = await post('/v1/contacts', { email: 'ignored@remote.example', favourite: true, note: 'x' });
    expect(made).toMatchObject({ status: 201, json: { ignored_fields: ['favourite', 'note'] } });
    const listed = await api.call('GET', '/v1/contacts?favourite=1', { key: api.keys.admin });
    expect(listed.json.ignored_fields).toEqual(['favourite']);
    expect((await api.call('GET', '/v1/contacts', { key: api.keys.admin })).json).not.toHaveProperty(
      'ignored_fields',
    );
    const many = Object.fromEntries(Array.from({ length: 200 }, (_, n) => [`${n}`.padEnd(500, 'x'), n]));
    const told = await post('/v1/contacts', { email: 'many@remote.example', ...many });
    expect(told.json.ignored_fields).toHaveLength(20);
    expect(told.text.length).toBeLessThan(4000);
  });

  test('unknown ones are refused where a misspelt one would be lost', async () => {
    const good = { to: 'ana@remote.example', subject: 's', markdown: 'm' };
    const id = await api.send(mailbox.id);
    for (const [path, body] of [
      [`/v1/mailboxes/${mailbox.id}/send`, { ...good, oversight_mod: 'gated_all' }],
      [`/v1/mailboxes/${mailbox.id}/send`, { ...good, html: '<p>' }],
      ['/v1/send_email', { ...good, mailbox: mailbox.id, headers: {} }],
      [`/v1/mailboxes/${mailbox.id}/reply/${id}`, { markdown: 'm', raw: 'x' }],
      ['/v1/oversight/decide', { email_id: id, action: 'approve', digest: 'x' }],
    ] as const) {
      const reply = await post(path, body);
      expect(`${path} ${reply.status} ${reply.json.code}`).toBe(`${path} 422 unknown_field`);
    }
  });

  test('flags are told in any of their spellings, and in no other', async () => {
    const path = `/v1/mailboxes/${mailbox.id}`;
    const set = (value: unknown) =>
      api.call('PATCH', path, { key: api.keys.admin, body: { forward_inbound: value } });
    for (const [value, told] of [
      [true, 1],
      [false, 0],
      [1, 1],
      [0, 0],
      ['true', 1],
      ['false', 0],
      ['1', 1],
      ['0', 0],
    ]) {
      const reply = await set(value);
      expect(`${value} ${reply.status} ${reply.json.mailbox?.forward_inbound}`).toBe(`${value} 200 ${told}`);
    }
    for (const value of ['yes', 2, -1, null, 'TRUE', [], {}])
      expect((await set(value)).json).toMatchObject({ status: 400, field: 'forward_inbound' });
  });

  test('NUL and half a character are refused in any text and in any name', async () => {
    const send = `/v1/mailboxes/${mailbox.id}/send`;
    const good = { to: 'ana@remote.example', subject: 's', markdown: 'm' };
    for (const [path, body] of [
      [send, { ...good, markdown: 'a\0b' }],
      [send, { ...good, markdown: 'a\ud800b' }],
      [send, { ...good, tags: { 'k\0': 'v' } }],
      [send, { ...good, tags: { k: 'v\udfff' } }],
      [send, { ...good, tags: ['x\0'] }],
      [send, { ...good, agent: 'a\ud800' }],
      ['/v1/contacts', { email: 'a@b.example', name: 'a\0' }],
      ['/v1/contacts', { email: 'a@b.example', ignored: { deep: ['\ud83d'] } }],
      ['/v1/contacts', { email: 'a@b.example', 'ignored\0': 1 }],
    ] as const) {
      const reply = await post(path, body);
      expect(`${JSON.stringify(body)} ${reply.status} ${reply.json.code}`).toBe(
        `${JSON.stringify(body)} 422 invalid_text`,
      );
    }
    for (const subject of ['a\0b', 'a\r\nBcc: v@evil.example', 'a\u2028b'])
      expect((await post(send, { ...good, subject })).json).toMatchObject({
        status: 422,
        code: 'header_injection',
        field: 'subject',
      });
    const whole = await post('/v1/contacts', { email: 'smile@remote.example', name: 'a \ud83d\ude00' });
    expect(whole).toMatchObject({ status: 201, json: { name: 'a \ud83d\ude00' } });
  });

  test('a tag or field by which JavaScript reaches what is no data is refused', async () => {
    for (const name of ['__proto__', 'constructor', 'prototype']) {
      const body = `{"to":"a@b.example","subject":"s","markdown":"m","tags":{"${name}":"x"}}`;
      expect((await raw('POST', `/v1/mailboxes/${mailbox.id}/send`, body)).status).toBe(400);
      expect((await raw('POST', '/v1/contacts', `{"email":"a@b.example","${name}":1}`)).status).toBe(400);
      expect((await raw('GET', `/v1/contacts?${name}=1`, undefined)).status).toBe(400);
    }
  });

  test('two names of one field are refused when they differ, and only then', async () => {
    const send = `/v1/mailboxes/${mailbox.id}/send`;
    const mail = (more: object) => ({ to: 'ana@remote.example', subject: `s${Math.random()}`, ...more });
    expect((await post(send, mail({ body: 'a', text: 'a' }))).status).toBe(202);
    expect((await post(send, mail({ body: 'a', text: 'b' }))).json).toMatchObject({
      status: 400,
      code: 'conflicting_fields',
      field: 'markdown',
    });
    const page = await api.call('GET', `/v1/mailboxes/${mailbox.id}/emails?cursor=1700000000000&offset=1`, {
      key: api.keys.agent,
    });
    expect(page).toMatchObject({ status: 400, json: { code: 'conflicting_fields' } });
  });

  test('several values of a filter may be repeated, or stand with commas between', async () => {
    const path = `/v1/mailboxes/${mailbox.id}/emails`;
    const list = async (query: string) =>
      (await api.call('GET', `${path}?${query}&limit=100`, { key: api.keys.agent })).json;
    const both = await list('status=rejected,cancelled');
    expect(both.emails.length).toBeGreaterThan(0);
    expect(await list('status=rejected&status=cancelled')).toEqual(both);
    expect(await list('status=sent&status=nonsense')).toMatchObject({ status: 400, field: 'status' });
    expect(await list('sender=a&sender=b')).toMatchObject({ status: 400, field: 'sender' });
  });
});

describe('answers', () => {
  test('HEAD answers like GET, without a body', async () => {
    const reply = await raw('HEAD', '/v1/account', undefined);
    expect(reply).toMatchObject({ status: 200, text: '' });
    expect(reply.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect((await raw('HEAD', '/v1/account', undefined, undefined, 'nobody')).status).toBe(401);
  });

  test('a path that takes other methods names them', async () => {
    for (const [method, path, allow] of [
      ['POST', '/v1/openapi.json', 'GET, HEAD'],
      ['PUT', `/v1/mailboxes/${mailbox.id}`, 'DELETE, GET, HEAD, PATCH'],
      ['GET', `/v1/mailboxes/${mailbox.id}/send`, 'POST'],
      ['OPTIONS', '/v1/contacts', 'GET, HEAD, POST'],
    ] as const) {
      const reply = await api.call(method, path, { key: api.keys.admin });
      expect(`${method} ${path} ${reply.status} ${reply.headers.get('allow')}`).toBe(
        `${method} ${path} 405 ${allow}`,
      );
    }
  });

  test('an error is told in either media type, with the same members', async () => {
    for (const accept of [
      'application/json',
      'application/problem+json',
      'text/html, application/problem+json;q=0.9',
    ]) {
      const reply = await api.call('POST', '/v1/contacts', {
        key: api.keys.admin,
        body: {},
        headers: { accept },
      });
      const kind = accept.includes('problem') ? 'application/problem+json' : 'application/json';
      expect(reply.headers.get('content-type')).toBe(`${kind}; charset=utf-8`);
      expect(reply.json).toMatchObject({
        error: expect.any(String),
        code: 'missing_field',
        type: 'urn:postern:error:missing_field',
        title: expect.any(String),
        status: 400,
        detail: reply.json.error,
        field: 'email',
      });
    }
  });

  test('the same key in both headers is one key', async () => {
    const { admin, agent } = api.keys;
    const ask = (bearer: string, plain: string) =>
      api.call('GET', '/v1/account', { headers: { authorization: `Bearer ${bearer}`, 'x-api-key': plain } });
    expect((await ask(admin, admin)).status).toBe(200);
    expect(await ask(admin, agent)).toMatchObject({ status: 401, json: { code: 'invalid_key' } });
  });
});
