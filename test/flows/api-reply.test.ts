import { simpleParser } from 'mailparser';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Mode } from '../../core/mail/mode.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi({ api: { duplicate_window: 60 } });
});
afterAll(() => api?.close());

let count = 0;

async function box(mode: Mode = 'monitored') {
  count += 1;
  return api.mailbox(`reader${count}@ours.example`, mode);
}

const reply = (mailbox: string, id: string, fields: object = {}) =>
  api.call('POST', `/v1/mailboxes/${mailbox}/reply/${id}`, {
    key: api.keys.agent,
    body: { markdown: 'Thanks.', ...fields },
  });

async function composed(id: string) {
  const { rows } = await api.runtime.database.pool.query(
    `select c.bytes, m.forward_paths as paths, coalesce(m.thread_id, m.id) as thread
       from messages m join contents c on c.id = m.content_id where m.id = $1`,
    [id],
  );
  return { mail: await simpleParser(rows[0].bytes), paths: rows[0].paths, thread: rows[0].thread };
}

test('an answer goes to Reply-To, in the thread, with the references of what it answers', async () => {
  const own = await box();
  const { id: mailbox } = own;
  const id = await api.receive(own, {
    from: 'Ana <ana@remote.example>',
    subject: 'Question',
    'Reply-To': 'desk@remote.example',
    'Message-ID': '<q2@remote.example>',
    References: '<q0@remote.example> <q1@remote.example>',
  });
  const { status, json } = await reply(mailbox, id, { cc: ['carl@remote.example'] });
  expect([status, json.status, json.thread_id, json.pending_approval]).toEqual([
    202,
    'pending_scan',
    id,
    false,
  ]);
  const { mail, paths, thread } = await composed(json.id);
  expect(paths).toEqual(['desk@remote.example', 'carl@remote.example']);
  expect(mail.subject).toBe('Re: Question');
  expect(mail.inReplyTo).toBe('<q2@remote.example>');
  expect(mail.references).toEqual(['<q0@remote.example>', '<q1@remote.example>', '<q2@remote.example>']);
  expect(thread).toBe(id);

  const followed = await reply(mailbox, json.id, { markdown: 'One more thing.' });
  const second = await composed(followed.json.id);
  expect(second.paths).toEqual(['desk@remote.example', 'carl@remote.example']);
  expect([second.mail.subject, second.thread]).toEqual(['Re: Question', id]);
  expect(second.mail.inReplyTo).toBe(mail.messageId);
});

test('an answer without Reply-To goes to From, and says Re: once', async () => {
  const own = await box();
  const { id: mailbox } = own;
  const id = await api.receive(own, { from: 'ana@remote.example', subject: 'RE: Question' });
  const { mail, paths } = await composed((await reply(mailbox, id)).json.id);
  expect([paths, mail.subject]).toEqual([['ana@remote.example'], 'RE: Question']);
});

test('references stay few, however many there were', async () => {
  const own = await box();
  const { id: mailbox } = own;
  const ids = Array.from({ length: 200 }, (_, n) => `<r${n}@remote.example>`);
  const id = await api.receive(own, {
    References: ids.join('\r\n '),
    'Message-ID': '<last@remote.example>',
  });
  const { mail } = await composed((await reply(mailbox, id)).json.id);
  const kept = [mail.references].flat();
  expect(kept).toHaveLength(50);
  expect([kept[0], kept.at(-1)]).toEqual(['<r0@remote.example>', '<last@remote.example>']);
});

test('answers pass the same gate as new mail, and repeat as little', async () => {
  const own = await box('gated_send');
  const { id: mailbox } = own;
  const id = await api.receive(own, {});
  const first = await reply(mailbox, id, { idempotency_key: 'k' });
  expect(first.json).toMatchObject({ pending_approval: true, oversight_mode: 'gated_send' });
  await api.until(first.json.id, 'pending_send_approval');
  expect(await reply(mailbox, id, { idempotency_key: 'k' })).toMatchObject({
    status: 200,
    json: { id: first.json.id, status: 'already_sent', thread_id: id },
  });
  expect((await reply(mailbox, id)).json).toMatchObject({ code: 'duplicate', existing_id: first.json.id });
  // the same name for another operation is another name
  const sent = await api.call('POST', `/v1/mailboxes/${mailbox}/send`, {
    key: api.keys.agent,
    body: { to: 'a@remote.example', subject: 's', markdown: 'm', idempotency_key: 'k' },
  });
  expect(sent.status).toBe(202);
});

test('what is not there, or was not let in, cannot be answered', async () => {
  const gated = await box('gated_all');
  const held = await api.receive(gated, {});
  expect(await reply(gated.id, held)).toMatchObject({ status: 403, json: { code: 'held_for_approval' } });
  const other = await box();
  expect((await reply(other.id, held)).status).toBe(404);
  expect((await reply(other.id, '01JD8Z6T4M3Q8VJ0RBX4N2C7WK')).status).toBe(404);
  expect((await reply(other.id, 'nothing')).status).toBe(404);
  const there = await api.receive(other, {});
  expect(await reply(other.id, there, { to: ['x@remote.example'] })).toMatchObject({
    status: 422,
    json: { code: 'unknown_field' },
  });
});
