import { simpleParser } from 'mailparser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { messageDigest } from '../../core/mail/digest.ts';
import type { Mode } from '../../core/mail/mode.ts';
import { readStoredContent } from '../../core/store/reviewing.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi();
});
afterAll(() => api?.close());

const HOUR = 3_600_000;
const ahead = (hours: number) => new Date(Date.now() + hours * HOUR).toISOString();
let count = 0;

/** A message that waits for its hour, in a mailbox of its own. */
async function scheduled(mode: Mode = 'monitored', fields: object = {}) {
  count += 1;
  const mailbox = (await api.mailbox(`later${count}@ours.example`, mode)).id;
  const id = await api.send(mailbox, { send_at: ahead(1), ...fields });
  const edit = (changes: object) =>
    api.call('PATCH', `/v1/mailboxes/${mailbox}/emails/${id}/schedule`, {
      key: api.keys.agent,
      body: changes,
    });
  return { mailbox, id, edit };
}

const db = () => api.runtime.database.pool;

async function row(id: string) {
  const { rows } = await db().query(
    `select m.*, encode(m.digest, 'hex') as hex, c.bytes, d.draft,
        array(select r.address from recipients r where r.message_id = m.id order by n) as addresses
       from messages m join contents c on c.id = m.content_id left join compositions d on d.message_id = m.id
      where m.id = $1`,
    [id],
  );
  return rows[0];
}

async function audited(id: string): Promise<string[]> {
  const { rows } = await db().query('select action from audit_events where resource_id = $1 order by seq', [
    id,
  ]);
  return rows.map(({ action }) => action);
}

async function approve(id: string) {
  const held = await api.until(id, 'pending_send_approval');
  const decided = await api.call('POST', '/v1/oversight/decide', {
    key: api.keys.reviewer,
    body: { email_id: id, action: 'approve', content_digest: held.content_digest },
  });
  expect(decided.status).toBe(200);
}

describe('scheduled mail', () => {
  test('goes at another hour, with everything else as it was', async () => {
    const { id, edit } = await scheduled();
    const before = await row(id);
    const send_at = ahead(5);
    const { status, json } = await edit({ send_at });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      id,
      status: 'scheduled',
      send_at,
      thread_id: id,
      content_digest: before.hex,
    });
    const after = await row(id);
    expect([after.wake_at.toISOString(), after.content_id]).toEqual([send_at, before.content_id]);
    expect(await audited(id)).toEqual(['message.accepted', 'message.scheduled', 'message.rescheduled']);
  });

  test('goes now when its hour is moved to now', async () => {
    const { id, edit } = await scheduled();
    expect((await edit({ send_at: new Date(Date.now() - 30_000).toISOString() })).status).toBe(200);
    await api.until(id, 'queued', 'sending', 'sent');
  });

  test('is written anew when its content changes: same id, same Message-ID, same files, another digest', async () => {
    const attachments = [
      {
        name: 'a.bin',
        content_base64: Buffer.alloc(5000, 7).toString('base64'),
        content_type: 'application/x',
      },
    ];
    const { id, edit } = await scheduled('monitored', { attachments, cc: ['carl@remote.example'] });
    const before = await row(id);
    const { status, json } = await edit({
      subject: 'Otherwise',
      to: ['bob@remote.example'],
      markdown: 'Not done.',
    });
    expect(status).toBe(200);
    await api.until(id, 'scheduled');
    const after = await row(id);
    expect(json.content_digest).toBe(after.hex);
    expect(after.hex).not.toBe(before.hex);
    expect(messageDigest((await readStoredContent(db(), id))!)).toBe(after.hex);
    expect(after.addresses).toEqual(['bob@remote.example', 'carl@remote.example']);
    expect([after.subject, after.facts.to[0].address, after.draft.subject]).toEqual([
      'Otherwise',
      'bob@remote.example',
      'Otherwise',
    ]);
    const mail = await simpleParser(after.bytes);
    expect([mail.subject, mail.messageId]).toEqual(['Otherwise', before.internet_message_id]);
    expect(mail.text).toMatch(/^Not done\./);
    expect(mail.attachments.map((one) => one.content.equals(Buffer.alloc(5000, 7)))).toEqual([true]);
    expect((await db().query('select from contents where id = $1', [before.content_id])).rowCount).toBe(0);
    expect(await audited(id)).toEqual([
      'message.accepted',
      'message.scheduled',
      'message.edited',
      'message.scheduled',
    ]);
    const { rows } = await db().query(
      `select metadata from audit_events where resource_id = $1 and action = 'message.edited'`,
      [id],
    );
    expect(rows[0].metadata).toMatchObject({
      changed: ['to', 'subject', 'markdown'],
      content_digest: after.hex,
      previous_digest: before.hex,
      to_before: ['ana@remote.example', 'carl@remote.example'],
      to: ['bob@remote.example', 'carl@remote.example'],
    });
    expect(JSON.stringify(rows[0].metadata)).not.toMatch(/Otherwise|Not done/);
    // and once more, from what was written the second time
    expect((await edit({ markdown: 'Done after all.' })).status).toBe(200);
    const again = await simpleParser((await row(id)).bytes);
    expect([again.subject, again.attachments.length]).toEqual(['Otherwise', 1]);
  });

  test('that is asked for as it is stays as it is', async () => {
    const { id, edit } = await scheduled();
    const before = await row(id);
    expect(await edit({ subject: 'Hello', markdown: 'It is done.' })).toMatchObject({
      status: 200,
      json: { status: 'scheduled', content_digest: before.hex },
    });
    expect((await row(id)).content_id).toBe(before.content_id);
  });

  test('that a person has approved keeps its content, and may go at another hour', async () => {
    const { id, edit } = await scheduled('gated_send');
    await approve(id);
    await api.until(id, 'scheduled');
    expect(await edit({ markdown: 'Send money.' })).toMatchObject({
      status: 409,
      json: { code: 'not_editable', current_status: 'scheduled' },
    });
    expect((await simpleParser((await row(id)).bytes)).text).not.toContain('money');
    expect((await edit({ send_at: ahead(3) })).status).toBe(200);
    expect((await edit({ send_at: new Date().toISOString() })).status).toBe(200);
    expect((await api.until(id, 'queued', 'sending', 'sent')).approved_by).toBe('reviewer');
  });

  test('under schedule_first is changed before anybody has seen it, and held when its hour has come', async () => {
    const { id, edit } = await scheduled('gated_send', { gate_timing: 'schedule_first' });
    expect((await edit({ markdown: 'Otherwise.' })).json.status).toMatch(/^(pending_scan|scheduled)$/);
    await api.until(id, 'scheduled');
    await edit({ send_at: new Date().toISOString() });
    await api.until(id, 'pending_send_approval');
  });

  test('that waits no longer cannot be changed', async () => {
    const { id, edit } = await scheduled('gated_send');
    await api.until(id, 'pending_send_approval');
    expect(await edit({ send_at: ahead(2) })).toMatchObject({
      status: 409,
      json: { code: 'not_editable', current_status: 'pending_send_approval' },
    });
    expect((await edit({})).status).toBe(400);
  });

  test.each([
    [{ to: [] }, 400, 'invalid_field'],
    [{ to: ['a@@b'] }, 422, 'invalid_address'],
    [{ subject: 'a\nb' }, 422, 'header_injection'],
    [{ subjekt: 'a' }, 422, 'unknown_field'],
    [{ send_at: '2020-01-01T00:00:00Z' }, 400, 'send_at_past'],
    [{ send_at: '2030-01-01' }, 400, 'send_at_invalid'],
  ])('is not changed to what cannot be sent: %o', async (changes, status, code) => {
    const { id, edit } = await scheduled();
    const before = await row(id);
    const reply = await edit(changes);
    expect([reply.status, reply.json.code]).toEqual([status, code]);
    expect((await row(id)).hex).toBe(before.hex);
  });

  test('changed by several at once is one of their versions, whole', async () => {
    const { id, edit } = await scheduled();
    const replies = await Promise.all(
      ['a', 'b', 'c', 'd'].map((text) => edit({ subject: text, markdown: text })),
    );
    for (const { status, json } of replies) if (status !== 200) expect(json.code).toBe('not_editable');
    expect(replies.some(({ status }) => status === 200)).toBe(true);
    const mail = await simpleParser((await row(id)).bytes);
    expect(mail.text?.[0]).toBe(mail.subject);
    expect(messageDigest((await readStoredContent(db(), id))!)).toBe((await row(id)).hex);
  });
});
