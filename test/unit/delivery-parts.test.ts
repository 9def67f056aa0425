import { describe, expect, test } from 'vitest';
import { contentSha256, messageDigest } from '../../core/mail/digest.ts';
import type { Claim } from '../../core/store/claiming.ts';
import { attempt } from '../../delivery/attempt.ts';
import { Backlog } from '../../delivery/backlog.ts';
import { Breaker } from '../../delivery/breaker.ts';
import { destinationOf } from '../../delivery/dsn.ts';
import { finalDot, loads, stuffed } from '../../delivery/smtp-body.ts';
import { NotAReply, ReplyReader } from '../../delivery/smtp-replies.ts';

describe('ReplyReader', () => {
  const bytes = '250-one\r\n250 two\r\n354 go on\r\n421\r\n';

  test.each([1, 2, 3, 7, 100])('reads the same replies in pieces of %i octets', (size) => {
    const reader = new ReplyReader();
    const replies = [];
    for (let at = 0; at < bytes.length; at += size) {
      replies.push(...reader.push(Buffer.from(bytes.slice(at, at + size))));
    }
    expect(replies).toEqual([
      { code: 250, raw: '250-one\r\n250 two' },
      { code: 354, raw: '354 go on' },
      { code: 421, raw: '421' },
    ]);
    expect(reader.idle).toBe(true);
  });

  test.each([
    ['a space in the code', '2 50 ok\r\n'],
    ['a code of four digits', '2500 ok\r\n'],
    ['a code no reply has', '150 ok\r\n'],
    ['words', 'hello\r\n'],
    ['an empty line', '\r\n'],
    ['lines that disagree', '250-ok\r\n550 no\r\n'],
  ])('takes %s for no reply', (_what, text) => {
    expect(() => new ReplyReader().push(Buffer.from(text))).toThrow(NotAReply);
  });

  test('gives up on a reply without end, in lines or in one', () => {
    const endless = (piece: string) => () => {
      const reader = new ReplyReader();
      for (let i = 0; i < 1000; i++) reader.push(Buffer.from(piece));
    };
    expect(endless(`250-${'x'.repeat(1000)}\r\n`)).toThrow(/too long/);
    expect(endless('x'.repeat(1000))).toThrow(/too long/);
  });

  test('keeps 100 kB of reply as 8 kB, and UTF-8 as what it says', () => {
    const [reply] = new ReplyReader().push(
      Buffer.from(`${`550-${'y'.repeat(96)}\r\n`.repeat(1000)}550 grün\r\n`),
    );
    expect(reply!.raw.length).toBeLessThanOrEqual(8192);
    expect(new ReplyReader().push(Buffer.from('550 grün\r\n'))[0]!.raw).toBe('550 grün');
    expect(new ReplyReader().push(Buffer.from('550 gr\xfcn\r\n', 'latin1'))[0]!.raw).toBe('550 grün');
  });
});

describe('the content on the wire', () => {
  test.each([
    ['', '', '.\r\n'],
    ['a\r\n', 'a\r\n', '.\r\n'],
    ['a', 'a', '\r\n.\r\n'],
    ['.\r\n', '..\r\n', '.\r\n'],
    ['.a\r\n..b\r\nc.\r\n.\r\n', '..a\r\n...b\r\nc.\r\n..\r\n', '.\r\n'],
    ['a\r\n.', 'a\r\n..', '\r\n.\r\n'],
  ])('%j is sent as %j and ended by %j', (text, sent, end) => {
    const bytes = Buffer.from(text);
    expect(Buffer.concat(stuffed(bytes)).toString()).toBe(sent);
    expect(finalDot(bytes).toString()).toBe(end);
  });

  test('loads hold everything, in order, none much above its size', () => {
    const pieces = stuffed(Buffer.from('.line of text\r\n'.repeat(5000)));
    const cut = [...loads(pieces, 1000)];
    expect(Buffer.concat(cut.flat()).equals(Buffer.concat(pieces))).toBe(true);
    for (const load of cut) expect(load.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(2000);
  });
});

describe('Breaker', () => {
  function opened(failures: number) {
    let now = 0;
    const breaker = new Breaker({ tolerance: 3, firstMs: 1000, longestMs: 8000, now: () => now });
    for (let i = 0; i < failures; i++) breaker.failed();
    return { breaker, wait: (ms: number) => (now += ms) };
  }

  test('opens after failures in a row, and a success forgets them', () => {
    const { breaker } = opened(2);
    expect(breaker.open).toBe(false);
    breaker.worked();
    breaker.failed();
    breaker.failed();
    expect(breaker.open).toBe(false);
    breaker.failed();
    expect(breaker.open).toBe(true);
  });

  test('lets one try after the pause, and waits twice as long after each failed try', () => {
    const { breaker, wait } = opened(10);
    expect([breaker.tryOne(), breaker.waitMs]).toEqual([false, 1000]);
    for (const pause of [1000, 2000, 4000, 8000, 8000]) {
      expect(breaker.waitMs).toBe(pause);
      wait(pause);
      expect([breaker.tryOne(), breaker.tryOne()]).toEqual([true, false]);
      breaker.failed();
    }
    wait(8000);
    expect(breaker.tryOne()).toBe(true);
    breaker.worked();
    expect(breaker.open).toBe(false);
  });
});

test('a backlog keeps each id once, in order, and no more than fit', () => {
  const backlog = new Backlog(3);
  backlog.add(['a', 'b', 'a', 'c', 'd']);
  expect(backlog.take(2)).toEqual(['a', 'b']);
  expect(backlog.take(9)).toEqual(['c']);
});

describe('destinationOf', () => {
  const ours = { mailboxId: 'b1', mailboxAddress: 'agent@ours.example', localId: null, localAddress: null };
  const base = { kind: 'mail', source: 'submission', reversePath: 'agent@ours.example', ...ours } as const;

  test.each([
    ['R-24: a submission', { ...base, reversePath: 'x@evil.example' }, 'agent@ours.example'],
    ['a submission with a null reverse-path', { ...base, reversePath: '' }, null],
    [
      'trusted mail from outside',
      { ...base, source: 'trusted', reversePath: 'p@else.example' } as const,
      'p@else.example',
    ],
    [
      'trusted mail from a mailbox of ours',
      { ...base, source: 'trusted', localId: 'b2', localAddress: 'p@ours.example' } as const,
      'p@ours.example',
    ],
    ['trusted mail with a null reverse-path', { ...base, source: 'trusted', reversePath: '' } as const, null],
    ['R-26: a report', { ...base, kind: 'dsn' } as const, null],
    ['a copy', { ...base, kind: 'copy' } as const, null],
    ['mail over the API', { ...base, source: 'rest' } as const, null],
    ['mail from the internet', { ...base, source: 'mx' } as const, null],
  ])('%s', (_what, debt, address) => {
    const destination = destinationOf(debt);
    expect(destination.to === 'nobody' ? null : destination.address).toBe(address);
  });
});

test('an error nobody foresaw while a message was sent is a doubt, and no reason to send it again', async () => {
  const bytes = Buffer.from('Subject: x\r\n\r\nHello.\r\n');
  const paths = { reversePath: 'a@x.example', forwardPaths: ['b@y.example'] };
  const claim = {
    ...paths,
    recipients: [{ n: 0, address: 'b@y.example' }],
    digest: messageDigest({ ...paths, contentSha256: contentSha256(bytes) }),
  } as Claim;
  const transport = {
    capacity: 1,
    close: async () => {},
    send: async () => {
      throw new TypeError('a mistake of ours');
    },
  };
  const content = { bytes: async () => bytes, done() {} };
  const unmarked = async () => Buffer.alloc(0);
  const { report } = await attempt(claim, content, transport, unmarked, () => true);
  expect(report.recipients.map(({ status }) => status)).toEqual(['in_doubt']);
  const unread = { bytes: async () => Promise.reject(new Error('gone')), done() {} };
  const later = await attempt(claim, unread, transport, unmarked, () => true);
  expect(later.report.recipients.map(({ status }) => status)).toEqual(['deferred']);
  const unsigned = await attempt(
    claim,
    content,
    transport,
    () => Promise.reject(new Error('no key')),
    () => true,
  );
  expect(unsigned.report.recipients.map(({ status }) => status)).toEqual(['deferred']);
});
