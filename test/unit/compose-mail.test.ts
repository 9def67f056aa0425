import { simpleParser } from 'mailparser';
import { describe, expect, test } from 'vitest';
import { isStrictBase64, partsOf, readContentType } from '../../core/compose/attachment.ts';
import { compose, recompose, TooLarge } from '../../core/compose/compose.ts';
import { type Draft, forwardPathsOf, type Sender } from '../../core/compose/draft.ts';
import { field } from '../../core/compose/header.ts';
import { renderMarkdown } from '../../core/compose/markdown.ts';
import { render } from '../../core/compose/rendering.ts';
import { storedForm } from '../../core/compose/stored.ts';
import { checkLineEndings } from '../../core/mail/wire.ts';

const DRAFT: Draft = {
  to: ['ana@remote.example'],
  cc: [],
  bcc: [],
  autoCc: null,
  autoBcc: null,
  subject: 'Hello',
  markdown: 'It is **done**.',
  replyTo: null,
  inReplyTo: null,
  references: [],
  ucan: null,
  messageId: '<01jd8z6t4m3q8vj0rbx4n2c7wk@ours.example>',
  date: '2026-11-21T10:00:00.000Z',
  oversight: { mode: 'gated_send', allowlistCounts: false },
  attachments: [],
};
const SENDER: Sender = {
  address: 'agent@ours.example',
  name: null,
  signatureBlock: null,
  operatorName: 'Example Ltd',
  physicalAddress: null,
  did: null,
  verifyLink: () => null,
  unsubscribeLink: null,
};
const LIMIT = 1 << 24;

async function written(draft: Partial<Draft> = {}, sender: Partial<Sender> = {}) {
  const { bytes } = await compose({ ...DRAFT, ...draft }, [], { ...SENDER, ...sender }, LIMIT);
  return { bytes, text: bytes.toString('latin1'), mail: await simpleParser(bytes) };
}

const base64 = (text: string) => Buffer.from(text).toString('base64');

describe('a composed message', () => {
  test('says in both texts what was written, who answers for it and who looks at it', async () => {
    const { mail } = await written(
      {},
      {
        signatureBlock: 'Ana <Ltd>\nSales',
        physicalAddress: '1 High Street\nTown',
        verifyLink: ({ oversightMode }) => `https://p.example/verify#${oversightMode}`,
      },
    );
    expect(mail.text).toBe(
      'It is **done**.\n\n-- \nAna <Ltd>\nSales\nWritten by an AI agent. A person approves each message before it is sent.\n' +
        'Verify: https://p.example/verify#gated_send\n1 High Street\nTown\n',
    );
    expect(mail.html).toContain('It is <strong>done</strong>.');
    for (const part of ['Ana &lt;Ltd&gt;<br>', 'Written by an AI agent.', '1 High Street<br>'])
      expect(mail.html).toContain(part);
    expect(mail.html).toContain('href="https://p.example/verify#gated_send"');
  });

  test.each([
    ['gated_send', true, 'or has allowed whom it writes to'],
    ['gated_all', false, 'approves each message'],
    ['monitored', false, 'receives a copy'],
    ['autonomous', false, 'without review'],
  ] as const)('under %s claims no more oversight than there is', async (mode, allowlistCounts, words) => {
    const { mail } = await written({ oversight: { mode, allowlistCounts } });
    expect(mail.text).toContain(words);
    expect(mail.text).toContain('Example Ltd');
  });

  test('is 7 bit, in lines that every next hop takes, whatever it says', async () => {
    for (const markdown of [
      'Grüße',
      '日本語'.repeat(2000),
      `${'x'.repeat(5000)}\n.\nFrom me \t`,
      '\x01\x7f\u2028',
    ]) {
      const { bytes, mail } = await written({
        markdown,
        subject: `${markdown.slice(0, 900).replace(/[\n\t\x01\x7f\u2028]/g, ' ')}é`,
      });
      const found = checkLineEndings(bytes);
      expect(found).toMatchObject({ bareCr: false, bareLf: false, nul: false });
      expect(found.longestLine).toBeLessThanOrEqual(78);
      expect(bytes.every((octet) => octet < 0x80)).toBe(true);
      expect(mail.text?.startsWith(markdown.trimEnd())).toBe(true);
    }
  });

  test.each([
    'plain',
    '',
    'x'.repeat(998),
    'with =?utf-8?B?eA==?= in it',
    ' leading and  double blanks ',
    'Grüße 👩‍👩‍👧 '.repeat(40).trim(),
    '%0d%0aBcc: v@evil.example',
  ])('has one Subject, which reads as it was given (%#)', async (subject) => {
    const { text, mail } = await written({ subject });
    expect(mail.subject ?? '').toBe(subject);
    expect(text.match(/^Subject:/gm)).toHaveLength(1);
    expect(mail.bcc).toBeUndefined();
  });

  test('names To and Cc, and nobody who is in Bcc', async () => {
    const draft = {
      cc: ['c@c.example'],
      bcc: ['hidden@b.example'],
      autoCc: 'boss@c.example',
      autoBcc: 'file@b.example',
    };
    const { text, mail } = await written(draft);
    expect([mail.to, mail.cc].flat().map((list) => list?.text)).toEqual([
      'ana@remote.example',
      'c@c.example, boss@c.example',
    ]);
    expect(text).not.toMatch(/hidden|file@|^bcc/im);
    expect(forwardPathsOf({ ...DRAFT, ...draft })).toEqual([
      'ana@remote.example',
      'c@c.example',
      'boss@c.example',
      'hidden@b.example',
      'file@b.example',
    ]);
  });

  test('shows a display name as it is, and lets none become an address', async () => {
    for (const name of ['Ana "Q" Süd', 'x" <evil@e.example>, "y', 'a,b;c', '=?utf-8?q?x?=']) {
      const { mail } = await written({}, { name });
      expect(mail.from?.value).toEqual([{ address: 'agent@ours.example', name }]);
    }
  });

  test('carries a UCAN only where a DID is bound to the mailbox', async () => {
    const ucan = 'eyJ'.repeat(1000);
    expect((await written({ ucan })).text).not.toContain('X-Agent-Identity');
    const { bytes, mail } = await written({ ucan }, { did: 'did:key:z6Mk' });
    expect(String(mail.headers.get('x-agent-identity')).replace(/\s/g, '')).toBe(
      `did="did:key:z6Mk";ucan="${ucan}"`,
    );
    expect(checkLineEndings(bytes).longestLine).toBeLessThanOrEqual(998);
  });

  test('gives a link for unsubscribing to one recipient, and to no list of them', async () => {
    const unsubscribeLink = (address: string) => `https://p.example/u/${address.length}`;
    const { mail } = await written({}, { unsubscribeLink });
    expect(mail.headers.get('list')).toMatchObject({
      unsubscribe: { url: 'https://p.example/u/18' },
    });
    expect((await written({ cc: ['c@c.example'] }, { unsubscribeLink })).text).not.toContain(
      'List-Unsubscribe',
    );
  });

  test('cannot be given a part by its text, even by one that knows the boundary', async () => {
    const { text } = await written();
    const boundary = /boundary="([^"]+)"/.exec(text)![1]!;
    const { mail } = await written({
      markdown: `x\n--${boundary}\nContent-Type: text/html\n\n<script>\n--${boundary}--`,
    });
    expect(mail.text).toContain(`--${boundary}`);
    expect(mail.html).not.toContain('<script>');
  });
});

test('a field with a line break is an error, not two fields', () => {
  expect(() => field('Subject', 'x\r\nBcc: v@evil.example')).toThrow('line break');
  expect(() => field('Subject', 'x\rBcc')).toThrow('line break');
});

describe('attachments', () => {
  const given = (name: string, contentType = 'application/pdf', text = 'hello') => ({
    name,
    contentType,
    base64: base64(text),
  });

  test('arrive as they were given, and stay what they are when the message is written anew', async () => {
    const long = 'attached '.repeat(500);
    const parts = partsOf([
      given('a.pdf', 'application/pdf', long),
      given('ä b.txt', 'text/plain; charset=utf-8', ''),
      given('a.pdf'),
    ]);
    const first = await compose(DRAFT, parts, SENDER, LIMIT);
    const again = await recompose(
      first.draft,
      { markdown: 'Otherwise', subject: 'Other' },
      first.bytes,
      SENDER,
      LIMIT,
    );
    for (const { bytes } of [first, again]) {
      const { attachments } = await simpleParser(bytes);
      expect(attachments.map((one) => [one.filename, one.contentType, one.content.toString()])).toEqual([
        ['a.pdf', 'application/pdf', long],
        ['ä b.txt', 'text/plain', ''],
        ['a (2).pdf', 'application/pdf', 'hello'],
      ]);
    }
    expect((await simpleParser(again.bytes)).messageId).toBe(DRAFT.messageId);
    const { facts } = storedForm(again, { reversePath: 'a@ours.example', hostname: 'h.example' });
    expect(facts.attachments?.map(({ name, size }) => [name, size])).toEqual([
      ['a.pdf', long.length],
      ['ä b.txt', 0],
      ['a (2).pdf', 5],
    ]);
  });

  test.each([
    ['a\r\nContent-Type: text/html', 'a__Content-Type: text_html'],
    ['a";x="b', 'a";x="b'],
    ['../../etc/passwd', '.._.._etc_passwd'],
    ['\u202ecod.exe', '_cod.exe'],
    ['invoice.html.pdf', 'invoice.html.pdf'],
    [`${'x'.repeat(5000)}.pdf`, 'x'.repeat(255)],
  ])('H-04: have names that are one parameter of one field (%#)', async (name, told) => {
    const { bytes, draft } = await compose(DRAFT, partsOf([given(name)]), SENDER, LIMIT);
    const [one] = (await simpleParser(bytes)).attachments;
    expect([one?.filename, one?.contentType]).toEqual([told, 'application/pdf']);
    expect(checkLineEndings(bytes).longestLine).toBeLessThanOrEqual(78);
    const { facts } = storedForm({ bytes, draft }, { reversePath: 'a@ours.example', hostname: 'h.example' });
    expect(facts.alteredNames ?? []).toEqual(name === told ? [] : [told]);
  });

  test.each([
    ['application/pdf', 'application/pdf'],
    ['Text/Plain; charset="utf-8"; name="x.txt"', 'text/plain; charset="utf-8"'],
    ['multipart/mixed; boundary=x', undefined],
    ['application/x; boundary=y', undefined],
    ['message/rfc822', undefined],
    ['text/html\r\nX: y', undefined],
    ['text', undefined],
    ['text/plain; a', undefined],
    ['', undefined],
    [`text/${'x'.repeat(300)}`, undefined],
  ])('H-05: have a content type of one line and no boundary (%#)', (written, read) => {
    expect(readContentType(written)).toBe(read);
  });

  test('are base64 as it is written by everybody, and nothing that only looks like it', () => {
    for (const good of ['', 'eA==', 'eHg=', base64('x'.repeat(1_300_000))])
      expect(isStrictBase64(good)).toBe(true);
    for (const bad of [
      'eA',
      'eA=',
      'eB==',
      'e-_=',
      'eA==\r\n',
      'eA==eA==',
      '=',
      ' eA=',
      `${base64('x'.repeat(1_300_000)).slice(0, -8)}!AAAAAA=`,
    ])
      expect([bad.slice(-10), isStrictBase64(bad)]).toEqual([bad.slice(-10), false]);
  });

  test('that make a message too large are refused before it is made', async () => {
    await expect(
      compose(DRAFT, partsOf([given('a', 'a/b', 'x'.repeat(20_000))]), SENDER, 20_000),
    ).rejects.toBeInstanceOf(TooLarge);
    await expect(compose(DRAFT, [], SENDER, 500)).rejects.toBeInstanceOf(TooLarge);
  });
});

describe('Markdown as HTML', () => {
  test.each([
    ['a\nb', '<p>a<br />b</p>'],
    ['<script>alert(1)</script>', '&lt;script&gt;'],
    ['<img src=x onerror=alert(1)>', '&lt;img'],
    ['![pixel](https://track.example/p.gif)', '<a href="https://track.example/p.gif">pixel</a>'],
    ['[x](https://ok.example/?a=1&b=2)', '<a href="https://ok.example/?a=1&amp;b=2">x</a>'],
    ['- [x] done', '[x] done'],
  ])('%s', (text, html) => {
    expect(renderMarkdown(text)).toContain(html);
  });

  test.each([
    '[x](javascript:alert(1))',
    '[x](JaVaScRiPt:alert(1))',
    '[x](&#106;avascript:alert(1))',
    '[x](java\tscript:alert(1))',
    '<javascript:alert(1)>',
    '[x](data:text/html;base64,PHNjcmlwdD4=)',
    '[x](vbscript:x)',
    '[x]: javascript:alert(1)\n\n[x]',
    '![x](javascript:alert(1))',
    '<a href="javascript:alert(1)">x</a>',
    '[x](//evil.example/)',
    '<div style="background:url(https://track.example)">',
    '[a](https://x.example/" onmouseover="alert(1))',
  ])('holds no tag but links to the web: %s', (text) => {
    const html = renderMarkdown(text) ?? '';
    for (const [tag] of html.matchAll(/<[^>]*>/g))
      expect(tag).toMatch(/^<\/?[a-z0-9]+(?: href="https?:\/\/[^"]*")?(?: \/)?>$/);
  });

  test('that nests without end is shown as it stands', async () => {
    for (const text of ['> '.repeat(500), `${'- '.repeat(100)}a`, '1. '.repeat(700)])
      expect(await render(text)).toMatch(/^<pre>|^<ul>|^<hr/);
    expect(await render(`${'> '.repeat(60)}a`)).toMatch(/^<pre>/);
  });

  test('is given up after a while, and nobody else has to wait for it', async () => {
    const hostile = '*a_'.repeat(262_144 / 3);
    let turns = 0;
    const turning = setInterval(() => {
      turns += 1;
    }, 5);
    const [nasty, plain] = await Promise.all([render(hostile), render('**fine**')]);
    clearInterval(turning);
    expect(nasty).toBe(`<pre>${hostile}</pre>`);
    expect(plain).toContain('<strong>fine</strong>');
    expect(turns).toBeGreaterThan(20);
    expect(await render(`**long** ${'text '.repeat(2000)}`)).toContain('<strong>long</strong>');
  });
});
