/** The parts of the gateway that need no socket and no store. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from 'vitest';
import { recently } from '../../core/runtime/recently.ts';
import { clientGroup } from '../../gateway/client-group.ts';
import { budget, Collector } from '../../gateway/collector.ts';
import { isGreetingName, isOtherProtocol, isTooLong, readCommand } from '../../gateway/commands.ts';
import { readControl } from '../../gateway/control-headers.ts';
import { loginLimits } from '../../gateway/login-limits.ts';
import { isOwnReversePath, mailboxKeys } from '../../gateway/own-addresses.ts';
import { parseMail, parseRcpt } from '../../gateway/parameters.ts';
import { sessionLimits } from '../../gateway/session-limits.ts';
import { networksOf } from '../../gateway/trusted.ts';

test.each([
  ['192.0.2.7', '192.0.2.7'],
  ['::ffff:192.0.2.7', '192.0.2.7'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::9', '2001:db8:1:2::/64'],
  ['2001:0db8:0001:0002::9', '2001:db8:1:2::/64'],
  ['2001:db8::1', '2001:db8:0:0::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s is the client %s', (address, client) => expect(clientGroup(address)).toBe(client));

describe('command lines', () => {
  test.each([
    ['mail FROM:<a@b>', { verb: 'MAIL', rest: 'FROM:<a@b>' }],
    ['NOOP', { verb: 'NOOP', rest: '' }],
    ['NOOP  x ', { verb: 'NOOP', rest: 'x' }],
    ['', { verb: '', rest: '' }],
  ])('%s', (line, command) => expect(readCommand(Buffer.from(line))).toMatchObject(command));
  test.each(['a\0b', 'a\x1b', 'a\x7f', 'a\rb', 'a\u0085'])('S-26: %j is no command', (line) =>
    expect(readCommand(Buffer.from(line))).toBeUndefined(),
  );
  test.each([[[0xc0, 0xaf]], [[0xff]], [[0xed, 0xa0, 0x80]]])('S-26: %j is no command', (bytes) =>
    expect(readCommand(Buffer.from(bytes))).toBeUndefined(),
  );
  test('have lengths of their own', () => {
    const line = (octets: number) => Buffer.alloc(octets, 'x');
    expect(isTooLong(line(510), 'NOOP')).toBe(false);
    expect(isTooLong(line(511), 'NOOP')).toBe(true);
    expect(isTooLong(line(511), undefined)).toBe(true);
    expect(isTooLong(line(1536), 'MAIL')).toBe(false);
    expect(isTooLong(line(1537), 'RCPT')).toBe(true);
    expect(isTooLong(line(12_000), 'AUTH')).toBe(false);
  });
  test.each([
    ['GET / HTTP/1.1', true],
    ['Host: x', true],
    ['PRI * HTTP/2.0', true],
    ['HELP', false],
    ['MAIL FROM:<get@b>', false],
  ])('%s', (line, other) => expect(isOtherProtocol(readCommand(Buffer.from(line))!)).toBe(other));
  test.each([
    ['WIN_PC-1', true, true],
    ['a(b)', false, true],
    ['a b', false, false],
    ['-x', false, true],
    ['[::1]', true, true],
    ['', false, false],
  ])('EHLO %s', (name, strict, lenient) => {
    expect(isGreetingName(name, { strict: true })).toBe(strict);
    expect(isGreetingName(name, { strict: false })).toBe(lenient);
  });
});

describe('MAIL and RCPT', () => {
  const rules = { maxSize: 1000, authenticated: true };
  test('are read whole', () => {
    expect(parseMail('MAIL FROM:<A@B.Example> SIZE=10 BODY=8BITMIME SMTPUTF8 AUTH=<>', rules)).toEqual({
      ok: true,
      reversePath: 'A@b.example',
      size: 10,
      body8bit: true,
      smtputf8: true,
    });
    expect(parseRcpt('rcpt to: <a@b.example>  ', { smtputf8: false, hostname: 'h.example' })).toEqual({
      ok: true,
      forwardPath: 'a@b.example',
    });
    expect(parseRcpt('RCPT TO:<PostMaster>', { smtputf8: false, hostname: 'h.example' })).toMatchObject({
      forwardPath: 'postmaster@h.example',
    });
  });
  test.each([
    'MAIL TO:<a@b.example>',
    'MAIL FROM <a@b.example>',
    'MAIL FROM:<a@b.example>SIZE=1',
    'MAIL FROM:<a@b.example>\tSIZE=1',
    'MAIL FROM:',
    'MAIL FROM:< a@b.example>',
  ])('%j is refused', (line) =>
    expect(parseMail(line, rules)).toMatchObject({ ok: false, reply: { code: 501 } }),
  );
  test('a line made to be read slowly is not', () => {
    const began = performance.now();
    for (const line of [
      `MAIL FROM:<${'a> '.repeat(4000)}`,
      `MAIL FROM:<a@b>${' '.repeat(12_000)}x`,
      `MAIL FROM:<a@b> ${'a= '.repeat(4000)}`,
      // a line separator is no character to a regular expression's dot
      `MAIL FROM:<>${' '.repeat(1500)}\u2028`,
      `MAIL FROM:<${'> '.repeat(700)}\u2029`,
    ])
      parseMail(line, rules);
    expect(performance.now() - began).toBeLessThan(100);
  });
});

describe('control headers', () => {
  const now = new Date('2026-05-01T12:00:00Z');
  const read = (name: string, value: string) =>
    readControl({ control: [{ name: `x-postern-${name}`, value }] }, now);
  test.each([
    ['tags', 'a=1, b = two words ,c', { tags: { a: '1', b: 'two words', c: 'true' } }],
    ['tags', 'a==b', { tags: { a: '=b' } }],
    ['tags', '', { tags: {} }],
    ['agent', 'nightly job', { agent: 'nightly job' }],
    ['oversight', 'gated_all', { requestedMode: 'gated_all' }],
    ['idempotency-key', 'k'.repeat(200), { idempotencyKey: 'k'.repeat(200) }],
    ['send-at', '2026-05-01T12:00:01Z', { sendAt: new Date('2026-05-01T12:00:01Z') }],
    ['send-at', '2026-05-02T12:00Z', { sendAt: new Date('2026-05-02T12:00:00Z') }],
  ])('%s: %s', (name, value, found) => expect(read(name, value)).toMatchObject(found));
  test.each([
    ['tags', '=x'],
    ['tags', `${'k'.repeat(129)}=x`],
    ['tags', `k=${'v'.repeat(513)}`],
    ['tags', '__proto__=x'],
    ['tags', Array.from({ length: 65 }, (_, i) => `k${i}`).join(',')],
    ['oversight', 'Gated_all'],
    ['oversight', ''],
    ['idempotency-key', 'k'.repeat(201)],
    ['idempotency-key', 'ä'],
    ['send-at', '2026-05-01T12:00:00Z'],
    ['send-at', '2026-02-30T12:00:00Z'],
    ['send-at', '2027-02-30T12:00:00Z'],
    ['send-at', '2026-05-02'],
    ['send-at', '2026-05-02T12:00:00'],
    ['send-at', '2026-05-02T14:00:00+02:00'],
    ['send-at', '2028-05-02T12:00:00Z'],
    ['constructor', 'x'],
  ])('%s: %s is refused', (name, value) => expect(read(name, value)).toMatchObject({ code: 550 }));
});

test('own addresses', () => {
  expect(mailboxKeys('Ana+x+y@B.example')).toEqual(['ana+x+y@b.example', 'ana@b.example']);
  expect(mailboxKeys('+x@b.example')).toEqual(['+x@b.example']);
  expect(isOwnReversePath('ana+x@b.example', 'ana@b.example')).toBe(true);
  expect(isOwnReversePath('ana@b.example', 'ana+x@b.example')).toBe(false);
  expect(isOwnReversePath('anaa+x@b.example', 'ana@b.example')).toBe(false);
});

test('U-01: failed logins close an address, a /64, a username, and all, until the next minute', () => {
  let now = 0;
  const limits = loginLimits(3, () => now);
  const tries = (count: number, address: (i: number) => string, user: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => limits.begin(address(i), user(i))).filter(Boolean).length;
  expect(
    tries(
      9,
      () => '192.0.2.1',
      (i) => `u${i}`,
    ),
  ).toBe(3);
  expect(
    tries(
      9,
      (i) => `2001:db8::${i}`,
      (i) => `v${i}`,
    ),
  ).toBe(3);
  expect(
    tries(
      99,
      (i) => `198.51.100.${i}`,
      () => 'bob',
    ),
  ).toBe(15);
  expect(
    tries(
      999,
      (i) => `10.0.${i >> 8}.${i & 255}`,
      (i) => `w${i}`,
    ),
  ).toBe(150 - 21);
  expect(limits.begin('203.0.113.1', 'fine')).toBe(false);
  now = 60_000;
  expect(limits.begin('203.0.113.1', 'fine')).toBe(true);
  for (let i = 0; i < 10; i++) {
    limits.succeeded('203.0.113.1', 'fine');
    expect(limits.begin('203.0.113.1', 'fine')).toBe(true);
  }
});

test('C-12: sessions are counted in and out', () => {
  const enter = sessionLimits({ sessions: 3, perAddress: 2 });
  const leave = enter('192.0.2.1') as () => void;
  enter('::ffff:192.0.2.1');
  expect(enter('192.0.2.1')).toMatchObject({ code: 421 });
  expect(enter('192.0.2.2')).toBeTypeOf('function');
  expect(enter('192.0.2.3')).toMatchObject({ code: 421 });
  leave();
  expect(enter('192.0.2.1')).toBeTypeOf('function');
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapAfterGc(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

describe('a message that arrives', () => {
  const options = { maxBytes: 10, seconds: 60 };
  test('is whole at its end, and gives its memory back', () => {
    const memory = budget(10);
    const collector = new Collector({ ...options, budget: memory });
    collector.push(Buffer.from('12345'));
    collector.push(Buffer.from('67890'));
    expect(memory.take(1)).toBe(false);
    expect(collector.finish()).toEqual({ ok: true, raw: Buffer.from('1234567890') });
    collector.release();
    collector.release();
    expect(memory.take(10)).toBe(true);
    expect(memory.take(1)).toBe(false);
  });
  test('C-03: is given up when its time is over', () => {
    const slow = new Collector({ ...options, seconds: -1, budget: budget(100) });
    expect(slow.push(Buffer.from('x'))).toBe(false);
    expect(slow.finish()).toMatchObject({ ok: false, reply: { code: 421 } });
  });
  test('is refused when it is too large, and when there is no memory', () => {
    const large = new Collector({ ...options, budget: budget(100) });
    for (let i = 0; i < 11; i++) large.push(Buffer.from('x'));
    expect(large.finish()).toMatchObject({ ok: false, reply: { code: 552 } });
    const poor = new Collector({ ...options, budget: budget(5) });
    poor.push(Buffer.from('123456'));
    expect(poor.finish()).toMatchObject({ ok: false, reply: { code: 452 } });
  });
  test('takes about the memory of its bytes, also when they come one by one', () => {
    const bytes = 400_000;
    const collector = new Collector({ maxBytes: bytes, seconds: 60, budget: budget(bytes) });
    const before = heapAfterGc();
    for (let i = 0; i < bytes; i++) collector.push(Buffer.from([i % 251]));
    expect(heapAfterGc() - before).toBeLessThan(10 * bytes);
    const whole = collector.finish();
    if (!whole.ok) throw new Error('refused');
    expect(whole.raw.equals(Buffer.from(Array.from({ length: bytes }, (_, i) => i % 251)))).toBe(true);
  });
});

test('answers are kept for a moment, questions are shared, failures are not kept', async () => {
  let asked = 0;
  const ask = recently(
    async (key: string) => {
      asked += 1;
      if (key === 'bad') throw new Error('no');
      return `${key}${asked}`;
    },
    { forMs: 30 },
  );
  expect(await Promise.all([ask.ask('a'), ask.ask('a')])).toEqual(['a1', 'a1']);
  expect(ask.ask('a')).toBe('a1');
  await expect(ask.ask('bad')).rejects.toThrow();
  await expect(ask.ask('bad')).rejects.toThrow();
  expect(asked).toBe(3);
  await new Promise((go) => setTimeout(go, 40));
  expect(await ask.ask('a')).toBe('a4');
});

test('a client belongs to the first network that holds its address', () => {
  const of = networksOf([
    {
      name: 'a',
      cidrs: ['192.0.2.0/25', '2001:db8::/32'],
      mailbox: 'm@x.example',
      senders: [],
      normalise: false,
    },
    { name: 'b', cidrs: ['192.0.2.0/24'], mailbox: 'm@x.example', senders: [], normalise: false },
  ] as unknown as Parameters<typeof networksOf>[0]);
  const name = (address: string) => of(address)?.name;
  expect(['192.0.2.1', '192.0.2.200', '2001:db8::1', '198.51.100.1', '::1'].map(name)).toEqual([
    'a',
    'b',
    'a',
    undefined,
    undefined,
  ]);
});
