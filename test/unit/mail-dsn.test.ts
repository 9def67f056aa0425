import PostalMime from 'postal-mime';
import { describe, expect, test } from 'vitest';
import { composeDsn, type Dsn } from '../../core/mail/dsn.ts';
import { checkLineEndings } from '../../core/mail/wire.ts';

const original = Buffer.from(
  `From: ana@x.example\r\nSubject: lunch\r\nMessage-ID: <1@x.example>\r\n\r\n${'a line of the body\r\n'.repeat(5000)}`,
);
const dsn: Dsn = {
  kind: 'failed',
  reportingMta: 'mx.ours.example',
  to: 'ana@x.example',
  from: 'postmaster@ours.example',
  arrivalDate: new Date(0),
  originalMessageId: '<1@x.example>',
  recipients: [
    {
      address: 'bob@y.example',
      action: 'failed',
      status: '5.1.1',
      diagnostic: { type: 'smtp', reply: { code: 550, enhanced: '5.1.1', text: 'No such user' } },
      remoteMta: 'mx.y.example',
      lastAttempt: new Date(60_000),
    },
  ],
  original,
  now: new Date(120_000),
  id: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
};
const text = (changes: Partial<Dsn> = {}) => composeDsn({ ...dsn, ...changes }).toString();
const to = (recipient: Partial<Dsn['recipients'][0]>) => ({
  recipients: [{ ...dsn.recipients[0]!, ...recipient }],
});

test('R-27 it is a report that no program answers, in the thread of the original', () => {
  const [header] = text().split('\r\n\r\n');
  expect(header!.split('\r\n')).toEqual([
    'From: Mail Delivery System <postmaster@ours.example>',
    'To: <ana@x.example>',
    'Subject: Your message could not be delivered',
    'Date: Thu, 01 Jan 1970 00:02:00 +0000',
    'Message-ID: <01ARZ3NDEKTSV4RRFFQ69G5FAV@mx.ours.example>',
    'In-Reply-To: <1@x.example>',
    'References: <1@x.example>',
    'Auto-Submitted: auto-replied',
    'MIME-Version: 1.0',
    'Content-Type: multipart/report; report-type=delivery-status;',
    '\tboundary="=_postern_01ARZ3NDEKTSV4RRFFQ69G5FAV"',
    'Content-Transfer-Encoding: 7bit',
  ]);
});

test('programs read what happened to each recipient', () => {
  expect(text()).toContain(
    [
      'Content-Type: message/delivery-status',
      '',
      'Reporting-MTA: dns; mx.ours.example',
      'Arrival-Date: Thu, 01 Jan 1970 00:00:00 +0000',
      '',
      'Final-Recipient: rfc822; bob@y.example',
      'Action: failed',
      'Status: 5.1.1',
      'Remote-MTA: dns; mx.y.example',
      'Diagnostic-Code: smtp; 550 5.1.1 No such user',
      'Last-Attempt-Date: Thu, 01 Jan 1970 00:01:00 +0000',
      '',
    ].join('\r\n'),
  );
});

test('a MIME parser finds words, status and header', async () => {
  const mail = await PostalMime.parse(composeDsn(dsn), { attachmentEncoding: 'utf8' });
  expect(mail.text).toContain('mx.y.example said: 550 5.1.1 No such user');
  expect(mail.attachments.map(({ mimeType }) => mimeType)).toEqual([
    'message/delivery-status',
    'text/rfc822-headers',
  ]);
});

test.each(['failed', 'delayed', 'rejected', 'expired', 'unknown'] as const)(
  '%s says so in plain words',
  (kind) => {
    const words = text({ kind });
    expect(words).toMatch(/\r\nSubject: [A-Z][^\r\n]+\r\n/);
    expect(words).not.toContain('undefined');
  },
);

test('Will-Retry-Until is only for what is delayed', () => {
  const willRetryUntil = new Date(0);
  expect(text(to({ action: 'delayed', willRetryUntil }))).toContain('Will-Retry-Until: Thu, 01 Jan 1970');
  expect(text(to({ action: 'failed', willRetryUntil }))).not.toContain('Will-Retry-Until');
});

describe('R-27 R-28 nothing a stranger wrote leaves its place', () => {
  test.each([
    ['<<1@x.example>>', 'In-Reply-To: <1@x.example>\r\n'],
    ['1@x.example', 'In-Reply-To: <1@x.example>\r\n'],
  ])('the Message-ID %s has one pair of brackets', (originalMessageId, line) => {
    expect(text({ originalMessageId })).toContain(line);
  });

  test.each([null, '', '<>', '<a b>', '<x\r\nBcc: v@evil.example>', '<ü@x>'])(
    '%j names no original',
    (originalMessageId) => {
      expect(text({ originalMessageId })).not.toContain('In-Reply-To');
    },
  );

  test('a reply with CRLF, ESC and 100 kB stays one folded field', () => {
    const reply = {
      code: 550,
      enhanced: null,
      text: `No\r\nBcc: v@evil.example \x1b[2J ${'word '.repeat(20_000)}`,
    };
    const bytes = composeDsn({ ...dsn, ...to({ diagnostic: { type: 'smtp', reply } }) });
    expect(bytes.toString()).not.toMatch(/^Bcc:/m);
    expect(bytes.includes(0x1b)).toBe(false);
    expect(bytes.length).toBeLessThan(8000);
    expect(checkLineEndings(bytes)).toMatchObject({
      bareCr: false,
      bareLf: false,
      nul: false,
      terminated: true,
    });
    expect(checkLineEndings(bytes).longestLine).toBeLessThan(998);
  });

  test('neither do the names of hosts, envelope ids and reasons', () => {
    const bad = 'x\r\n\r\nAction: delivered';
    const report = text({
      envelopeId: bad,
      reportingMta: bad.slice(0, 1),
      ...to({ remoteMta: bad, reason: bad, status: bad }),
    });
    expect(report.match(/^Action: delivered/m)).toBeNull();
    expect(report).toContain('Status: 5.0.0');
  });
});

describe('the original is returned', () => {
  test('as its header', () => {
    expect(text()).toContain('Content-Type: text/rfc822-headers');
    expect(text()).toContain('Subject: lunch');
    expect(text()).not.toContain('a line of the body');
  });

  test('R-27 in full up to 50 kB, cut at a line', () => {
    const bytes = composeDsn({ ...dsn, returnContent: 'full' });
    expect(bytes.length).toBeLessThan(53_000);
    expect(bytes.toString()).toMatch(
      /a line of the body\r\n\r\n--=_postern_01ARZ3NDEKTSV4RRFFQ69G5FAV--\r\n$/,
    );
  });

  test('8-bit headers travel as base64, an 8-bit body is declared', () => {
    const eightBit = Buffer.from('Subject: grüße\r\n\r\nbödy\r\n');
    expect(text({ original: eightBit })).toContain(
      'message/global-headers\r\nContent-Transfer-Encoding: base64',
    );
    expect(text({ original: eightBit })).toMatch(/^[\x00-\x7f]*$/);
    const full = text({ original: eightBit, returnContent: 'full' });
    expect(full.match(/^Content-Transfer-Encoding: 8bit/gm)).toHaveLength(2);
  });

  test('not at all when it is gone', () => {
    expect(text({ original: null })).not.toContain('rfc822-headers');
  });
});

test('C-19 a recipient that is not ASCII is named in ASCII for programs and readably for people', async () => {
  const report = composeDsn({ ...dsn, ...to({ address: '中@xn--bcher-kva.example' }) });
  expect(report.toString()).toContain('Final-Recipient: utf-8; \\x{4E2D}@xn--bcher-kva.example');
  expect((await PostalMime.parse(report)).text).toContain('<中@bücher.example>');
});
