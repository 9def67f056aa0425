import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { approvalToken } from '../../core/mail/approval-token.ts';
import { readAccount } from '../../core/store/account.ts';
import { type Reply, startTestApi, type TestApi } from '../support/api.ts';
import { mailedNotices } from '../support/notices.ts';

const OVERSEER = 'operator@gateway.example';

let api: TestApi;
let mailbox: string;
beforeAll(async () => {
  // Behind a proxy, so that each test may come from an address of its own.
  api = await startTestApi({ http: { trusted_proxies: ['127.0.0.1'] } });
  mailbox = (await api.mailbox('writer@ours.example', 'gated_send')).id;
});
afterAll(() => api.close());

let address = 0;
beforeEach(() => {
  address += 1;
});
const from = () => ({ 'x-forwarded-for': `198.51.100.${address}` });

async function linkOf(id: string): Promise<string> {
  const { digest } = await stored(id);
  const { secret } = await readAccount(api.runtime.database.pool);
  return `/v1/approve/${approvalToken(secret, id, digest)}`;
}

async function stored(id: string): Promise<{ digest: string; status: string }> {
  const { json } = await api.call('GET', `/v1/oversight/emails/${id}`, { key: api.keys.reviewer });
  return { digest: json.content_digest, status: json.status };
}

const look = (link: string) => api.call('GET', link, { headers: from() });
const submit = (link: string, form: Record<string, string>): Promise<Reply> =>
  api.call('POST', link, {
    body: new URLSearchParams(form).toString(),
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...from() },
  });
/** Asks for a code on the page and decides with it. */
async function decide(link: string, id: string, action: 'approve' | 'reject', more: object = {}) {
  expect((await submit(link, { action: 'send_code' })).status).toBe(200);
  const { digest } = await stored(id);
  return submit(link, { action, content_digest: digest, code: await api.code(), ...more });
}

describe('the page behind the link', () => {
  test('shows why first, then envelope, subject, the whole text, files, expiry and digest, and runs nothing', async () => {
    const id = await api.send(mailbox, {
      subject: 'A <b>bold</b> plan',
      markdown: `Line one.\n\n<script>alert(1)</script> ${'long '.repeat(3000)}the end.`,
      bcc: ['eve@remote.example'],
      attachments: [
        { name: 'invoice.pdf.exe', content_base64: 'AAAA', content_type: 'application/pdf' },
        { name: 'plain.txt', content_base64: 'AAAA', content_type: 'text/plain' },
      ],
    });
    const { status, text, headers } = await look(await linkOf(id));
    expect(status).toBe(200);
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
    expect(headers.get('content-security-policy')).toContain("frame-ancestors 'none'");
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('cache-control')).toBe('no-store');
    expect(text).not.toMatch(/<script|<b>bold|\son\w+=|<img|https?:\/\/[^\s<]*\.js/i);
    const { digest } = await stored(id);
    const places = [
      'Why it is held',
      'needs approval',
      'Where it goes',
      '<dt>From</dt><dd>writer@ours.example',
      '<dt>To</dt><dd>ana@remote.example',
      '<dt>Bcc</dt><dd>eve@remote.example',
      '<dt>Expires</dt>',
      'bold&#60;/b&#62; plan',
      'Line one.',
      'the end.',
      'invoice.pdf.exe',
      'it ends in .exe',
      'plain.txt',
      `<code>${digest}`,
    ].map((part) => text.indexOf(part));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    expect(text.split('plain.txt')[1]!.split('</li>')[0]).not.toContain('Beware');
    expect(text).toMatch(/<html lang="en">/);
    for (const name of ['code', 'reason']) {
      expect(text).toContain(`<label for="${name}">`);
      expect(text).toContain(`id="${name}"`);
    }
  });

  test('names what nobody would see instead of obeying it', async () => {
    const id = await api.send(mailbox, { markdown: 'Pay \u202e001\u202c\u200b euro.' });
    const { text } = await look(await linkOf(id));
    expect(text).toContain('[U+202E]');
    expect(text).not.toMatch(/[\u202e\u200b]/);
  });

  test('says when a stranger sent a second version of the text that it does not show', async () => {
    const guarded = await api.mailbox('versions@ours.example', 'gated_all');
    const part = (type: string, text: string) => `--b\r\nContent-Type: ${type}\r\n\r\n${text}\r\n`;
    const id = await api.receive(guarded, {
      raw: [
        'From: ana@remote.example',
        'To: versions@ours.example',
        'Subject: Two',
        'Date: Sat, 21 Nov 2026 10:00:00 +0000',
        'Message-ID: <two@remote.example>',
        'MIME-Version: 1.0',
        'Content-Type: multipart/alternative; boundary=b',
        '',
        `${part('text/plain', 'All is well.')}${part('text/html', '<p>Pay at once.</p>')}--b--`,
        '',
      ].join('\r\n'),
    });
    const { text } = await look(await linkOf(id));
    expect(text).toContain('All is well.');
    expect(text).toContain('a version in HTML, which is not shown');
    expect((await look(await linkOf(await api.send(mailbox)))).text).not.toContain('a version in HTML');
  });

  test('is not found by a token that was changed, is of another message, or is nothing at all', async () => {
    const [one, other] = [await api.send(mailbox), await api.send(mailbox)];
    const link = await linkOf(one);
    const swapped = link.replace(one, other);
    const bent = `${link.slice(0, -2)}${link.endsWith('AA') ? 'BB' : 'AA'}`;
    for (const wrong of [swapped, bent, '/v1/approve/x', `/v1/approve/${one}`, `/v1/approve/${one}.`]) {
      for (const reply of [await look(wrong), await submit(wrong, { action: 'send_code' })]) {
        expect(reply.status, wrong).toBe(404);
        expect(reply.text).not.toContain('It is done.');
      }
    }
  });

  test('A-15: GET and HEAD decide nothing, nor does any form without a code, however often', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    const { digest } = await stored(id);
    const mails = (await mailedNotices(api.runtime.database.pool)).length;
    for (const method of ['GET', 'HEAD']) expect((await api.call(method, link)).status).toBe(200);
    expect(
      (await api.call('GET', `${link}?action=approve&code=ABC-DEF&content_digest=${digest}`)).status,
    ).toBe(200);
    for (const form of [
      { action: 'approve', content_digest: digest },
      { action: 'approve', content_digest: digest, code: '' },
      { action: 'reject', content_digest: digest, code: 'AAA-AAA' },
    ]) {
      const { status, text } = await submit(link, form as Record<string, string>);
      expect(status).toBe(403);
      expect(text).toMatch(/role="alert">This code is wrong.*Nothing has been decided/);
    }
    expect((await stored(id)).status).toBe('pending_send_approval');
    expect((await mailedNotices(api.runtime.database.pool)).length).toBe(mails);
  });

  test('asks for an action, and answers a form that has none as any malformed request', async () => {
    const { status, json } = await submit(await linkOf(await api.send(mailbox)), { action: 'delete' });
    expect(status).toBe(400);
    expect(json.field).toBe('action');
  });
});

test('an address may look sixty times a minute, and is then told so in words', async () => {
  const link = await linkOf(await api.send(mailbox));
  for (let n = 0; n < 60; n++) expect((await look(link)).status).toBe(200);
  const { status, headers, text } = await look(link);
  expect(status).toBe(429);
  expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
  expect(text).toContain('Too many requests');
  address += 100;
  expect((await look(link)).status).toBe(200);
  address -= 100;
});

describe('a code', () => {
  test('is mailed to the oversight address, stands on no page, and approves what the page showed', async () => {
    const id = await api.send(mailbox, { subject: 'For the code' });
    const link = await linkOf(id);
    const asked = await submit(link, { action: 'send_code' });
    expect(asked.status).toBe(200);
    expect(asked.text).toContain('on its way to the oversight address');
    const [mail] = await mailedNotices(api.runtime.database.pool);
    expect(mail).toMatchObject({ to: OVERSEER });
    expect(mail!.text).toContain('For the code');
    const code = await api.code();
    expect(asked.text).not.toContain(code);
    const { digest } = await stored(id);
    const form = { action: 'approve', content_digest: digest, code: code.toLowerCase().replace('-', ' ') };
    const done = await submit(link, form);
    expect(`${done.status} ${done.text}`).toMatch(/^200 .*Approved/s);
    const review = await api.call('GET', `/v1/oversight/emails/${id}`, { key: api.keys.reviewer });
    expect(review.json.decisions).toEqual([
      expect.objectContaining({
        by: OVERSEER,
        action: 'approve',
        content_digest: digest,
        receipt: expect.any(String),
      }),
    ]);
    const audit = await api.call('GET', `/v1/audit-log?message_id=${id}&action=message.approved`, {
      key: api.keys.admin,
    });
    expect(audit.json.entries[0].actor).toMatchObject({ type: 'user', name: OVERSEER });
  });

  test('rejects with the reason, of which the composer is told', async () => {
    const id = await api.send(mailbox);
    const done = await decide(await linkOf(id), id, 'reject', { reason: 'Too soon.' });
    expect(`${done.status} ${done.text}`).toMatch(/^200 .*Rejected/s);
    const { json } = await api.call('GET', `/v1/mailboxes/${mailbox}/emails/${id}`, { key: api.keys.agent });
    expect(json).toMatchObject({ status: 'rejected', rejection_reason: 'Too soon.' });
  });

  test('is for one message, and of no use for another', async () => {
    const [one, other] = [await api.send(mailbox), await api.send(mailbox, { subject: 'Other' })];
    await submit(await linkOf(one), { action: 'send_code' });
    const code = await api.code();
    const { digest } = await stored(other);
    const refused = await submit(await linkOf(other), { action: 'approve', content_digest: digest, code });
    expect(refused.status).toBe(403);
    expect((await stored(other)).status).toBe('pending_send_approval');
  });

  test('dies after ten wrong tries', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    const { digest } = await stored(id);
    await submit(link, { action: 'send_code' });
    const code = await api.code();
    const wrong = code.startsWith('A') ? 'BBB-BBB' : 'AAA-AAA';
    const form = { action: 'approve', content_digest: digest };
    for (let n = 0; n < 10; n++) expect((await submit(link, { ...form, code: wrong })).status).toBe(403);
    expect((await submit(link, { ...form, code })).status).toBe(403);
    expect((await stored(id)).status).toBe('pending_send_approval');
  });

  test('is mailed five times an hour for a message, and then the page says when to come back', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    for (let n = 0; n < 5; n++) expect((await submit(link, { action: 'send_code' })).status).toBe(200);
    const { status, headers, text } = await submit(link, { action: 'send_code' });
    expect(status).toBe(429);
    expect(Number(headers.get('retry-after'))).toBeGreaterThan(0);
    expect(text).toContain('role="alert"');
  });

  test('goes to the oversight address of the mailbox where it has one', async () => {
    const pool = api.runtime.database.pool;
    const own = await api.mailbox('own@ours.example', 'gated_send');
    await pool.query('update mailboxes set oversight_address = $2 where id = $1', [
      own.id,
      'boss@firm.example',
    ]);
    await submit(await linkOf(await api.send(own.id)), { action: 'send_code' });
    expect((await mailedNotices(pool))[0]!.to).toBe('boss@firm.example');
  });

  test('A-17: is never mailed to a mailbox of ours, where the sender could read it', async () => {
    const pool = api.runtime.database.pool;
    const own = await api.mailbox('loop@ours.example', 'gated_send');
    await pool.query('update mailboxes set oversight_address = $2 where id = $1', [
      own.id,
      'Writer+x@ours.example',
    ]);
    const before = (await mailedNotices(pool)).length;
    const { status, text } = await submit(await linkOf(await api.send(own.id)), { action: 'send_code' });
    expect(status).toBe(409);
    expect(text).toContain('is a mailbox of this Postern');
    expect((await mailedNotices(pool)).length).toBe(before);
  });
});

describe('a decision', () => {
  test('counts once: who comes later is told who decided and when, and sees no draft', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    await submit(link, { action: 'send_code' });
    const { digest } = await stored(id);
    await api.call('POST', '/v1/oversight/decide', {
      key: api.keys.reviewer,
      body: { email_id: id, action: 'reject' },
    });
    const late = await submit(link, { action: 'approve', content_digest: digest, code: await api.code() });
    expect(late.status).toBe(409);
    expect(late.text).toMatch(/already rejected by reviewer at \d{4}-/);
    const seen = await look(link);
    expect(seen.text).toContain('already rejected by reviewer');
    expect(seen.text).not.toContain('It is done.');
  });

  test('of two at the same moment with the same code, one counts', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    await submit(link, { action: 'send_code' });
    const form = { content_digest: (await stored(id)).digest, code: await api.code() };
    const both = await Promise.all([
      submit(link, { ...form, action: 'approve' }),
      submit(link, { ...form, action: 'reject' }),
    ]);
    expect(both.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(both.filter(({ status }) => [403, 409].includes(status))).toHaveLength(1);
  });

  test('is for the content that was shown: after an edit the link has ended, and nothing is decided', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    const { digest } = await stored(id);
    await submit(link, { action: 'send_code' });
    const code = await api.code();
    const edited = await api.call('POST', '/v1/oversight/edit', {
      key: api.keys.reviewer,
      body: { email_id: id, content_digest: digest, markdown: 'Something else.' },
    });
    expect(edited.status).toBe(200);
    const late = await submit(link, { action: 'approve', content_digest: digest, code });
    expect(late.status).toBe(409);
    expect(late.text).toContain('edited');
    expect((await look(link)).text).not.toContain('Something else.');
    const now = edited.json.content_digest;
    // nor does the earlier code serve the new link
    const again = await submit(await linkOf(id), { action: 'approve', content_digest: now, code });
    expect(again.status).toBe(403);
    expect((await stored(id)).status).toBe('pending_send_approval');
  });

  test('of another digest than the present one is refused, and costs no code', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    await submit(link, { action: 'send_code' });
    const code = await api.code();
    for (const form of [{ content_digest: '0'.repeat(64) }, {}]) {
      const { status, text } = await submit(link, { action: 'approve', code, ...form } as Record<
        string,
        string
      >);
      expect(status).toBe(409);
      expect(text).toContain('no longer the one you saw');
    }
    const { digest } = await stored(id);
    expect((await submit(link, { action: 'approve', content_digest: digest, code })).status).toBe(200);
  });

  test('A-05: after expiry is 410, by the clock of the database, also before anybody wrote it down', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    await submit(link, { action: 'send_code' });
    const { digest } = await stored(id);
    await api.runtime.database.pool.query(
      `update holds set expires_at = now() - interval '1 millisecond' where message_id = $1`,
      [id],
    );
    const late = await submit(link, { action: 'approve', content_digest: digest, code: await api.code() });
    expect(late.status).toBe(410);
    expect((await look(link)).text).toContain('has expired');
    expect((await stored(id)).status).not.toBe('queued');
  });

  test('is over once the message is cancelled', async () => {
    const id = await api.send(mailbox);
    const link = await linkOf(id);
    const cancelled = await api.call('POST', `/v1/mailboxes/${mailbox}/emails/${id}/cancel`, {
      key: api.keys.agent,
    });
    expect(cancelled.status).toBe(200);
    expect((await submit(link, { action: 'send_code' })).status).toBe(409);
    expect((await look(link)).text).toContain('cancelled');
  });

  test('is not for whoever answers for the composer, code or not', async () => {
    const principal = { kind: 'agent' as const, name: 'owned', owner: OVERSEER };
    const { apiKey } = await api.key({ scopes: ['read', 'send'], principal });
    const id = await api.send(mailbox, { subject: 'Mine' }, apiKey);
    const { status, text } = await decide(await linkOf(id), id, 'approve');
    expect(status).toBe(403);
    expect(text).toContain('somebody else has to decide');
    expect((await stored(id)).status).toBe('pending_send_approval');
  });

  test('lets inbound mail in', async () => {
    const guarded = await api.mailbox('guarded@ours.example', 'gated_all');
    const id = await api.receive(guarded, { subject: 'From outside', text: 'What they say.' });
    const link = await linkOf(id);
    expect((await look(link)).text).toContain('What they say.');
    const done = await decide(link, id, 'approve');
    expect(done.text).toContain('in the mailbox');
    expect((await stored(id)).status).toBe('unread');
  });
});
