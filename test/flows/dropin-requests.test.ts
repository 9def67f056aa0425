/** Small habits of clients that were written for another server, and what they are owed. */
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let mailbox: { id: string; address: string };
beforeAll(async () => {
  api = await startTestApi();
  mailbox = await api.mailbox('desk@ours.example', 'autonomous');
  await api.mailbox('other@ours.example', 'autonomous');
});
afterAll(() => api.close());

const path = (rest: string) => `/v1/mailboxes/${mailbox.id}${rest}`;
const letter = (fields: object = {}) => ({
  to: ['ana@remote.example'],
  subject: 'Hi',
  markdown: 'x',
  ...fields,
});
const send = (fields: object) =>
  api.call('POST', path('/send'), { key: api.keys.agent, body: letter(fields) });
const get = (where: string) => api.call('GET', where, { key: api.keys.agent });

/** Writes all of a request, as clients do that look for the answer only then; returns what came back. */
function writeOut(head: string, bytes: number): Promise<string> {
  const { hostname, port } = new URL(api.url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk;
    });
    socket.once('error', reject);
    const piece = Buffer.alloc(1 << 20, 'x');
    let left = bytes;
    const write = (): void => {
      if (left === 0) {
        setTimeout(() => {
          socket.destroy();
          resolve(answer);
        }, 200);
        return;
      }
      left -= piece.length;
      socket.write(piece, write);
    };
    socket.write(head, write);
  });
}

test('a body that is too large can be written out before its 413 is read', async () => {
  const bytes = 44 << 20;
  const head =
    `POST ${path('/send')} HTTP/1.1\r\nhost: ${new URL(api.url).host}\r\n` +
    `authorization: Bearer ${api.keys.agent}\r\ncontent-type: application/json\r\ncontent-length: ${bytes}\r\n\r\n`;
  const answer = await writeOut(head, bytes);
  expect(answer).toMatch(/^HTTP\/1\.1 413 /);
  expect(answer).toContain('"code":"too_large"');
});

describe('lists', () => {
  test('take a limit that is a number, and clamp it', async () => {
    for (const limit of ['0', '-3', '1.5', '1000'])
      expect((await get(path(`/emails?limit=${limit}`))).status).toBe(200);
    expect(await get(path('/emails?limit=many'))).toMatchObject({
      status: 400,
      json: { code: 'invalid_field', field: 'limit' },
    });
  });

  test('take a blank for a filter that was left out', async () => {
    for (const n of [1, 2]) await send({ subject: `${n}` });
    const { status, json } = await get(
      path('/emails?status=&limit=&cursor=&date_after=&direction=&has_attachments='),
    );
    expect(status).toBe(200);
    expect(json.emails.length).toBeGreaterThanOrEqual(2);
    expect(json.ignored_fields).toBeUndefined();
  });

  test.each(['date_after=2027-02-30', 'date_before=2027-13-01', 'date_after=2027-04-31T00:00:00Z'])(
    'refuse a day that does not exist: %s',
    async (filter) => {
      expect(await get(path(`/emails?${filter}`))).toMatchObject({
        status: 400,
        json: { code: 'invalid_field' },
      });
    },
  );
});

describe('every list', () => {
  const lists = ['contacts', 'suppression', 'webhook-deliveries', 'emails', 'oversight/pending', 'audit-log'];
  const ask = (list: string, query: string) =>
    api.call('GET', `/v1/${list}?${query}`, { key: api.keys.admin });

  test.each(lists)('is paged by a cursor, a moment or an offset, and never by two: %s', async (list) => {
    for (const query of [`cursor=${Date.now()}`, 'offset=1', 'offset=10000'])
      expect(await ask(list, query)).toMatchObject({ status: 200 });
    for (const [query, code] of [
      ['cursor=1&offset=1', 'conflicting_fields'],
      ['cursor=made-up', 'invalid_cursor'],
      ['offset=10001', 'invalid_field'],
    ])
      expect(await ask(list, query!)).toMatchObject({ status: 400, json: { code } });
  });

  test('contacts pass over as many as the offset says, and begin before the moment', async () => {
    for (const name of ['a', 'b', 'c'])
      await api.call('POST', '/v1/contacts', {
        key: api.keys.agent,
        body: { email: `${name}@pages.example` },
      });
    const names = async (query: string) =>
      (await ask('contacts', `q=pages.example&${query}`)).json.contacts.map(
        (one: { email: string }) => one.email[0],
      );
    expect(await names('offset=1')).toEqual(['b', 'a']);
    expect(await names(`cursor=${Date.now() - 3_600_000}`)).toEqual([]);
    expect(await names(`cursor=${Date.now() + 1000}`)).toEqual(['c', 'b', 'a']);
  });
});

describe('sending', () => {
  test('takes fifty addresses in each of its three lists', async () => {
    const fifty = (name: string) => Array.from({ length: 50 }, (_, n) => `${name}${n}@remote.example`);
    const sent = await send({ to: fifty('a'), cc: fifty('b'), bcc: fifty('c') });
    expect(sent.status).toBe(202);
  });

  test('refuses a send_at on a day that does not exist', async () => {
    expect(await send({ send_at: '2027-02-30T10:00:00Z' })).toMatchObject({
      status: 400,
      json: { code: 'send_at_invalid', field: 'send_at' },
    });
  });

  test('a reply that says whom it is from, beside its mailbox, is refused: it has no such field', async () => {
    const id = await api.receive(mailbox);
    const reply = (body: object) => api.call('POST', path(`/reply/${id}`), { key: api.keys.agent, body });
    expect(await reply({ markdown: 'x', from: 'x@remote.example' })).toMatchObject({
      status: 422,
      json: { code: 'unknown_field', field: 'from' },
    });
    expect(await reply({ markdown: 'x' })).toMatchObject({ status: 202 });
    const picked = { email_id: id, markdown: 'y', from: mailbox.address };
    expect(await api.call('POST', '/v1/reply_email', { key: api.keys.agent, body: picked })).toMatchObject({
      status: 202,
    });
  });

  test('a form may hold blanks for what its user left out', async () => {
    const form = { to: 'ana@remote.example', cc: '', bcc: '', reply_to: '', subject: 'Form', body: 'x' };
    const call = (body: object) => api.call('POST', '/v1/emails/send', { key: api.keys.agent, body });
    expect((await call({ ...form, mailbox: mailbox.address })).status).toBe(202);
    expect(await call({ ...form, mailbox: '' })).toMatchObject({
      status: 400,
      json: { code: 'mailbox_required' },
    });
    expect((await call({ ...form, subject: '', mailbox: mailbox.address })).status).toBe(202);
  });
});

test.each(['/v1/mailboxes/%00', '/v1/emails/a%00b', '/v1/oversight/emails/%00'])(
  'an id that cannot be one names nothing: %s',
  async (where) => {
    expect(await api.call('GET', where, { key: api.keys.admin })).toMatchObject({
      status: 404,
      json: { code: 'not_found' },
    });
  },
);

test('the page for signing up is the hosted service’s, however it is asked for', async () => {
  for (const method of ['GET', 'POST'])
    expect(await api.call(method, '/onboard')).toMatchObject({ status: 404, json: { code: 'hosted_only' } });
});
