import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api.close());

const thread = (box: string, id: string, key = api.keys.agent) =>
  api.call('GET', `/v1/mailboxes/${box}/threads/${id}`, { key });
const messageIdOf = async (id: string) =>
  (await api.call('GET', `/v1/queue/emails/${id}`, { key: api.keys.admin })).json.internet_message_id;

test('an answer from outside joins the thread of what it answers, and the thread tells who had the last word', async () => {
  const { id: box, address } = await api.mailbox('thread@ours.example', 'autonomous');
  const sent = await api.send(box, { subject: 'Question' });
  expect((await thread(box, sent)).json).toMatchObject({
    thread_id: sent,
    message_count: 1,
    has_unanswered_inbound: false,
    participants: [address, 'ana@remote.example'],
  });
  const mid = await messageIdOf(sent);
  const answer = await api.receive(
    { address },
    { subject: 'Re: Question', 'In-Reply-To': mid, text: 'The answer.' },
  );
  const later = await api.receive({ address }, { References: `<x@remote.example> ${mid}` });
  const told = await thread(box, sent);
  expect(told.json).toMatchObject({
    message_count: 3,
    has_unanswered_inbound: true,
    participants: [address, 'ana@remote.example', 'stranger@remote.example'],
    emails: [
      { id: sent, direction: 'outbound', subject: 'Question', has_attachments: false },
      { id: answer, direction: 'inbound', from: 'stranger@remote.example', status: 'unread' },
      { id: later },
    ],
  });
  expect(told.text).not.toContain('The answer.');
  expect((await api.call('GET', `/v1/emails/${answer}`, { key: api.keys.agent })).json.thread_id).toBe(sent);
});

test('a reply goes on with the thread, and answers it', async () => {
  const { id: box, address } = await api.mailbox('reply@ours.example', 'autonomous');
  const first = await api.receive({ address });
  expect((await thread(box, first)).json).toMatchObject({ has_unanswered_inbound: true });
  const reply = await api.call('POST', `/v1/mailboxes/${box}/reply/${first}`, {
    key: api.keys.agent,
    body: { markdown: 'Thank you.' },
  });
  expect(reply.json).toMatchObject({ thread_id: first });
  const again = await api.receive({ address }, { 'In-Reply-To': await messageIdOf(reply.json.id) });
  expect((await thread(box, first)).json).toMatchObject({
    has_unanswered_inbound: true,
    emails: [{ id: first }, { id: reply.json.id }, { id: again }],
  });
});

test('nobody joins a thread of another mailbox by naming its mail', async () => {
  const ours = await api.mailbox('ours@ours.example', 'autonomous');
  const theirs = await api.mailbox('theirs@ours.example', 'autonomous');
  const sent = await api.send(ours.id);
  const id = await api.receive(theirs, {
    'In-Reply-To': await messageIdOf(sent),
    References: `<${'0'.repeat(26)}@x.example>`,
  });
  expect((await thread(theirs.id, id)).json).toMatchObject({ message_count: 1 });
  expect((await thread(ours.id, sent)).json).toMatchObject({ message_count: 1 });
  for (const unknown of [sent, id.replace(/.$/, '_'), 'x'])
    expect((await thread(theirs.id, unknown)).status).toBe(404);
});

test('what a reviewer has not let in is not told in a thread', async () => {
  const { id: box, address } = await api.mailbox('hidden@ours.example', 'gated_all');
  const id = await api.receive({ address });
  expect(await thread(box, id)).toMatchObject({ status: 403, json: { code: 'held_for_approval' } });
  expect((await thread(box, id, api.keys.admin)).json).toMatchObject({ message_count: 1 });
  const sent = await api.send(box);
  await api.receive({ address }, { 'In-Reply-To': await messageIdOf(sent) });
  expect((await thread(box, sent)).json).toMatchObject({ message_count: 1, emails: [{ id: sent }] });
  expect((await thread(box, sent, api.keys.admin)).json).toMatchObject({ message_count: 2 });
});
