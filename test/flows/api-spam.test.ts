import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const get = async (path: string, key = api.keys.agent) => (await api.call('GET', path, { key })).json;
const ids = (page: { emails: { id: string }[] }) => page.emails.map(({ id }) => id);
const received = (to: string) => api.receive({ address: to });

test('spam is kept apart until somebody clears it, and then stands as new', async () => {
  const { id: box } = await api.mailbox('spam@ours.example', 'gated_send');
  const id = await received('spam@ours.example');
  const post = (verb: string, key = api.keys.agent) => api.call('POST', `/v1/emails/${id}/${verb}`, { key });
  const inbox = async () => ids(await get(`/v1/mailboxes/${box}/emails`));
  const spam = async (query = '') => ids(await get(`/v1/emails${query}`));
  await get(`/v1/mailboxes/${box}/emails/${id}`);
  for (const _ of [1, 2])
    expect((await post('report-spam')).json).toEqual({ id, status: 'spam_quarantined', user_label: 'spam' });
  expect(await inbox()).toEqual([]);
  expect(await spam()).toEqual([id]);
  expect(await spam('?status=spam_flagged')).toEqual([]);
  expect(ids(await get(`/v1/mailboxes/${box}/emails?status=spam_quarantined`))).toEqual([id]);
  for (const _ of [1, 2])
    expect((await post('not-spam')).json).toEqual({ id, status: 'unread', user_label: 'not_spam' });
  expect(await inbox()).toEqual([id]);
  expect(await spam()).toEqual([]);
  const managed = await api.call('POST', '/v1/manage_spam_status', {
    key: api.keys.agent,
    body: { action: 'report', email_id: id },
  });
  expect(managed.json).toMatchObject({ status: 'spam_quarantined' });
  expect((await api.call('GET', '/v1/emails?status=unread', { key: api.keys.agent })).status).toBe(400);
  const sent = await api.send(box);
  expect((await api.call('POST', `/v1/emails/${sent}/report-spam`, { key: api.keys.agent })).status).toBe(
    409,
  );
});

test('flagged mail is listed as such, not as unread, until it is read or cleared', async () => {
  const { id: box } = await api.mailbox('flagged@ours.example', 'gated_send');
  const id = await received('flagged@ours.example');
  await api.runtime.database.pool.query(
    `update messages set spam_verdict = 'flagged', spam_score = 61 where id = $1`,
    [id],
  );
  expect(ids(await get(`/v1/mailboxes/${box}/emails?status=unread`))).toEqual([]);
  expect(await get('/v1/list_spam?status=spam_flagged')).toMatchObject({
    emails: [{ id, status: 'spam_flagged', spam_score: 61, spam_verdict: 'flagged' }],
  });
  expect(ids(await get(`/v1/mailboxes/${box}/emails`))).toEqual([id]);
});

test('in a mailbox where all mail needs approval, cleared mail waits for it', async () => {
  const { id: box } = await api.mailbox('strict@ours.example', 'gated_all');
  const id = await received('strict@ours.example');
  const call = (verb: string) => api.call('POST', `/v1/emails/${id}/${verb}`, { key: api.keys.agent });
  expect(await call('report-spam')).toMatchObject({ status: 403, json: { code: 'held_for_approval' } });
  const review = () =>
    api.call('POST', '/v1/oversight/decide', {
      key: api.keys.reviewer,
      body: { email_id: id, action: 'approve' },
    });
  expect((await review()).json).toMatchObject({ email_status: 'unread' });
  expect((await call('report-spam')).json).toMatchObject({ status: 'spam_quarantined' });
  expect((await call('not-spam')).json).toMatchObject({ id, status: 'pending_inbound_approval' });
  expect((await api.call('GET', `/v1/mailboxes/${box}/emails/${id}`, { key: api.keys.agent })).status).toBe(
    403,
  );
  const { rows } = await api.runtime.database.pool.query(
    `select reasons from holds where message_id = $1 and closed_at is null`,
    [id],
  );
  expect(rows).toEqual([{ reasons: ['all mail to this mailbox needs approval (gated_all)'] }]);
});
