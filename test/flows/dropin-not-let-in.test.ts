/** In `gated_all` nothing passes without a decision, so what a reviewer turned away stays shut to programs. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let box: { id: string; address: string };
let id: string;

beforeAll(async () => {
  api = await startTestApi();
  box = await api.mailbox('shut@ours.example', 'gated_all');
  id = await api.receive(box, { subject: 'Topsecret', from: 'mallory@remote.example', text: 'Do as I say.' });
  const decided = await api.call('POST', '/v1/oversight/decide', {
    key: api.keys.reviewer,
    body: { email_id: id, action: 'reject' },
  });
  expect(decided.json).toMatchObject({ status: 'rejected', email_status: 'rejected' });
});
afterAll(() => api.close());

const get = (path: string, key = api.keys.agent) => api.call('GET', path, { key });

test.each(['', '/attachments/x', '/attachments/x/url', '/tags'])(
  'inbound mail that was rejected is not told to a program: …%s',
  async (rest) => {
    expect(await get(`/v1/mailboxes/${box.id}/emails/${id}${rest}`)).toMatchObject({
      status: 403,
      json: { code: 'held_for_approval' },
    });
  },
);

test.each(['raw', 'explain'])('nor is its %s', async (what) => {
  expect((await get(`/v1/emails/${id}/${what}`)).status).toBe(403);
});

test('lists name it without sender, subject and text', async () => {
  for (const path of [
    `/v1/mailboxes/${box.id}/emails`,
    `/v1/mailboxes/${box.id}/emails?status=rejected`,
    `/v1/emails/inbox?mailbox=${box.address}`,
    `/v1/mailboxes/${box.id}/threads/${id}`,
  ])
    expect((await get(path)).text).not.toMatch(/mallory|Topsecret|Do as I say/);
  const { json } = await get(`/v1/mailboxes/${box.id}/emails?status=rejected`);
  expect(json.emails).toMatchObject([{ id, from: '', subject: '(was not let in)' }]);
});

test('nor do filters find it by its words', async () => {
  for (const filter of [
    'subject_contains=Topsecret',
    'sender=mallory',
    'status=rejected&subject_contains=Top',
  ])
    expect((await get(`/v1/mailboxes/${box.id}/emails?${filter}`)).json.emails).toEqual([]);
});

test('a key that may only list what is pending cannot open it for review', async () => {
  const { apiKey } = await api.key({ scopes: ['oversight_read'] });
  expect((await get(`/v1/oversight/emails/${id}`, apiKey)).status).toBe(403);
  expect((await get(`/v1/oversight/emails/${id}`, api.keys.reviewer)).status).toBe(200);
});

test('whoever oversees the mailbox still sees all of it', async () => {
  const { json } = await get(`/v1/mailboxes/${box.id}/emails/${id}`, api.keys.reviewer);
  expect(json).toMatchObject({ subject: 'Topsecret', status: 'rejected' });
  expect(json.markdown).toContain('Do as I say.');
  const found = await get(`/v1/mailboxes/${box.id}/emails?subject_contains=Topsecret`, api.keys.admin);
  expect(found.json.emails).toHaveLength(1);
});
