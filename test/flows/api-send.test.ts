import { simpleParser } from 'mailparser';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import type { Mode } from '../../core/mail/mode.ts';
import type { Pattern } from '../../core/mail/pattern.ts';
import { addToAllowlist } from '../../core/store/allowlists.ts';
import { suppress } from '../../core/store/suppressions.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { countOf, newSender, rowsOf } from '../support/sending.ts';

let api: TestApi;
beforeAll(async () => {
  api = await startTestApi({
    api: { duplicate_window: 60 },
    limits: { message_bytes: 200_000, blocked_domains: ['blocked.example'] },
  });
});
afterAll(() => api?.close());

const sender = (mode?: Mode) => newSender(api, mode);
const rows = (text: string, ...values: unknown[]) => rowsOf(api, text, values);
const db = () => api.runtime.database.pool;

async function bytesOf(id: string): Promise<Buffer> {
  const [row] = await rows(
    'select c.bytes from messages m join contents c on c.id = m.content_id where m.id = $1',
    id,
  );
  return row.bytes;
}

describe('what is sent', () => {
  test('is one message with everything that was given, and nothing that was not', async () => {
    const box = await sender('gated_send');
    const { status, json } = await box.send({
      cc: ['cc@remote.example'],
      bcc: ['hidden@remote.example'],
      reply_to: 'desk@ours.example',
      tags: ['invoice'],
      agent: 'billing bot',
      attachments: [{ name: 'a.txt', content_base64: 'aGVsbG8=', content_type: 'text/plain' }],
    });
    expect(status).toBe(202);
    expect(json).toMatchObject({
      status: 'pending_scan',
      thread_id: json.id,
      pending_approval: true,
      oversight_mode: 'gated_send',
      requested_oversight_mode: null,
      send_at: null,
      idempotent: false,
      email_id: json.id,
      message_id: json.id,
    });
    const mail = await simpleParser(await bytesOf(json.id));
    expect(mail.messageId).toBe(`<${json.id.toLowerCase()}@ours.example>`);
    expect([mail.from, mail.to, mail.cc, mail.replyTo].flat().map((one) => one?.text)).toEqual([
      box.address,
      'ana@remote.example',
      'cc@remote.example',
      'desk@ours.example',
    ]);
    expect(mail.attachments.map((one) => [one.filename, one.content.toString()])).toEqual([
      ['a.txt', 'hello'],
    ]);
    expect(mail.text).toMatch(
      /^It is done\.\n\n-- \nPostern\nWritten by an AI agent\. .*\nVerify: http.*\/verify#/,
    );
    const [message] = await rows(
      'select forward_paths, tags, agent, body_8bit from messages where id = $1',
      json.id,
    );
    expect(message).toEqual({
      forward_paths: ['ana@remote.example', 'cc@remote.example', 'hidden@remote.example'],
      tags: { invoice: 'true' },
      agent: 'billing bot',
      body_8bit: false,
    });
  });

  test('goes to whom the mailbox adds as well, who count for the allowlist', async () => {
    const box = await sender('gated_send');
    await addToAllowlist(db(), box.id, ['*@remote.example' as Pattern], system('cli'));
    expect((await box.send()).json.pending_approval).toBe(false);
    await rows(
      'update mailboxes set auto_cc = $2, auto_bcc = $3 where id = $1',
      box.id,
      'boss@ours.example',
      'file@ours.example',
    );
    const { json } = await box.send({ subject: 'Second' });
    expect(json.pending_approval).toBe(true);
    const mail = await simpleParser(await bytesOf(json.id));
    expect([mail.cc].flat()[0]?.text).toBe('boss@ours.example');
    expect(await rows('select address from recipients where message_id = $1 order by n', json.id)).toEqual([
      { address: 'ana@remote.example' },
      { address: 'boss@ours.example' },
      { address: 'file@ours.example' },
    ]);
  });

  test('passes no looser than its mailbox, and that somebody asked for it is audited', async () => {
    const box = await sender('gated_all');
    const { status, json } = await box.send({ oversight_mode: 'autonomous' });
    expect([status, json.oversight_mode, json.requested_oversight_mode, json.pending_approval]).toEqual([
      202,
      'gated_all',
      'autonomous',
      true,
    ]);
    expect(
      await rows(
        `select metadata from audit_events where action = 'mode_floor_applied' and resource_id = $1`,
        json.id,
      ),
    ).toEqual([{ metadata: { requested_mode: 'autonomous', effective_mode: 'gated_all' } }]);
    const tighter = await (await sender('monitored')).send({ oversight_mode: 'gated_send' });
    expect(tighter.json).toMatchObject({ pending_approval: true, oversight_mode: 'gated_send' });
  });

  test('carries a UCAN where a DID is bound, and says where it does not', async () => {
    const box = await sender();
    expect((await box.send({ ucan: 'eyJh.eyJi.c2ln' })).json.ignored_fields).toEqual(['ucan']);
    await rows('update mailboxes set did = $2 where id = $1', box.id, 'did:key:z6Mk');
    const { json } = await box.send({ ucan: 'eyJh.eyJi.c2ln', subject: 'Second' });
    expect(json.ignored_fields).toBeUndefined();
    expect((await bytesOf(json.id)).toString()).toContain('ucan="eyJh.eyJi.c2ln"');
  });
});

test('a file whose name could mislead gets another, and the reviewer is told', async () => {
  const box = await sender('gated_send');
  const { json } = await box.send({ attachments: [file({ name: '../\u202ecod.exe' })] });
  await api.until(json.id, 'pending_send_approval');
  const [hold] = await rows('select reasons from holds where message_id = $1', json.id);
  expect(hold.reasons).toContain(
    'note: attached files had names that could mislead, and are now called ..__cod.exe',
  );
});

describe('what cannot be sent is refused, and named', () => {
  test.each<[string, object, number, string, string?]>([
    ['no recipient', { to: [] }, 400, 'invalid_field', 'to'],
    [
      'H-01: a line break in the subject',
      { subject: 'x\r\nBcc: v@evil.example' },
      422,
      'header_injection',
      'subject',
    ],
    ['H-01: a lone CR', { subject: 'x\ry' }, 422, 'header_injection', 'subject'],
    ['H-01: a line separator', { subject: 'x\u2028y' }, 422, 'header_injection', 'subject'],
    ['a line break in an address', { to: ['a@b.example\r\nx'] }, 422, 'header_injection'],
    ['two at signs', { to: ['a@b@c.example'] }, 422, 'invalid_address'],
    ['an invisible character', { cc: ['a\u200b@b.example'] }, 422, 'invisible_characters'],
    [
      'H-05: a line break in a content type',
      { attachments: [file({ content_type: 'text/html\r\nX: y' })] },
      422,
      'header_injection',
    ],
    [
      'H-05: a boundary',
      { attachments: [file({ content_type: 'multipart/mixed; boundary=x' })] },
      422,
      'invalid_attachment',
    ],
    ['bad base64', { attachments: [file({ content_base64: 'a' })] }, 422, 'invalid_attachment'],
    ['H-07: a path', { attachments: [{ path: '/etc/passwd' }] }, 422, 'unknown_field'],
    [
      'H-07: an address to fetch',
      { attachments: [file({ href: 'http://169.254.169.254/' })] },
      422,
      'unknown_field',
    ],
    ['H-07: raw', { raw: { path: '/etc/passwd' } }, 422, 'unknown_field', 'raw'],
    ['html', { html: '<b>x</b>' }, 422, 'unknown_field', 'html'],
    ['headers', { headers: { 'X-A': 'b' } }, 422, 'unknown_field', 'headers'],
    ['a misspelt mode', { oversight_mod: 'gated_all' }, 422, 'unknown_field', 'oversight_mod'],
    ['an unknown mode', { oversight_mode: 'gatedsend' }, 400, 'unknown_mode', 'oversight_mode'],
    ['H-11: half a character', { markdown: 'x\ud800' }, 422, 'invalid_text', 'markdown'],
    ['H-11: NUL', { attachments: [file({ name: 'a\0b' })] }, 422, 'invalid_text'],
    ['a foreign sender', { from: 'ceo@ours.example' }, 422, 'unknown_sender', 'from'],
    ['a blocked domain', { bcc: ['x@sub.blocked.example'] }, 422, 'domain_blocked'],
    ['a time without Z', { send_at: '2030-01-01T00:00:00+01:00' }, 400, 'send_at_invalid', 'send_at'],
    ['a time long past', { send_at: '2020-01-01T00:00:00Z' }, 400, 'send_at_past', 'send_at'],
    ['too far ahead', { send_at: '2090-01-01T00:00:00Z' }, 400, 'send_at_invalid', 'send_at'],
    [
      'too large a message',
      { attachments: [file({ content_base64: 'A'.repeat(200_000) })] },
      413,
      'too_large',
    ],
    ['too long a text', { markdown: 'x'.repeat(262_145) }, 400, 'invalid_field', 'markdown'],
    ['read_only asked for', { oversight_mode: 'read_only' }, 403, 'read_only'],
  ])('%s', async (_, fields, status, code, field) => {
    const box = await sender();
    const reply = await box.send(fields);
    expect([reply.status, reply.json.code]).toEqual([status, code]);
    if (field !== undefined) expect(reply.json.field).toBe(field);
    expect(await countOf(api, box.id)).toBe(0);
  });

  test('an address that is suppressed, by its name', async () => {
    const box = await sender();
    await suppress(db(), { address: 'Gone@remote.example', reason: 'hard_bounce' }, system('cli'));
    await expect
      .poll(async () => (await box.send({ cc: ['gone@remote.example'] })).json)
      .toMatchObject({ code: 'recipient_suppressed', addresses: ['gone@remote.example'] });
  });

  test('where the mailbox or the account lets nothing out', async () => {
    expect((await (await sender('read_only')).send()).json.code).toBe('read_only');
    const box = await sender();
    await rows('update mailboxes set scheduling_enabled = false where id = $1', box.id);
    const later = new Date(Date.now() + 3_600_000).toISOString();
    expect(await box.send({ send_at: later })).toMatchObject({
      status: 409,
      json: { code: 'scheduling_disabled' },
    });
    await rows('update account set sending_disabled = true');
    expect(await box.send()).toMatchObject({ status: 403, json: { code: 'account_disabled' } });
    await rows('update account set sending_disabled = false');
  });
});

function file(fields: object) {
  return { name: 'a.txt', content_base64: 'aGVsbG8=', content_type: 'text/plain', ...fields };
}

test('cancelling says 200 twice, and what is no message of the mailbox is not found', async () => {
  const box = await sender('gated_send');
  const { id } = (await box.send()).json;
  await api.until(id, 'pending_send_approval');
  for (let n = 0; n < 2; n++)
    expect(await box.cancel(id)).toMatchObject({
      status: 200,
      json: { id, email_id: id, message_id: id, status: 'cancelled' },
    });
  const other = await sender();
  expect((await other.cancel(id)).status).toBe(404);
  const queued = (await other.send()).json.id;
  await rows(`update messages set state = 'relayed', wake_at = null where id = $1`, queued);
  expect(await other.cancel(queued)).toMatchObject({
    status: 409,
    json: { code: 'already_handed_off', current_status: 'sent' },
  });
  await rows(`update messages set state = 'expired' where id = $1`, queued);
  expect(await other.cancel(queued)).toMatchObject({
    status: 409,
    json: { code: 'not_cancellable', current_status: 'expired' },
  });
});

test('nothing is taken while the disk is nearly full', async () => {
  const full = await startTestApi({ limits: { free_disk_bytes: Number.MAX_SAFE_INTEGER } });
  try {
    const { id } = await full.mailbox('full@ours.example', 'monitored');
    const reply = await full.call('POST', `/v1/mailboxes/${id}/send`, {
      key: full.keys.agent,
      body: { to: 'ana@remote.example', subject: 's', markdown: 'm' },
    });
    expect(reply).toMatchObject({ status: 503, json: { code: 'unavailable' } });
    expect(reply.headers.get('retry-after')).toBe('10');
  } finally {
    await full.close();
  }
});
