import { describe, expect, test } from 'vitest';
import { parseAddressList } from '../../core/mail/address-list.ts';
import { decodeWords } from '../../core/mail/encoded-word.ts';
import { readFacts } from '../../core/mail/facts.ts';
import { headerRefusal, parseHeaders, rawValue } from '../../core/mail/headers.ts';

const facts = (text: string) => readFacts(Buffer.from(text, 'utf8'), { hostname: 'mx.ours.example' });
const addressesOf = (text: string) => parseAddressList(text).addresses.map(({ address }) => address);

describe('the header is cut into fields', () => {
  test('names in lower case, values unfolded, the body left alone', () => {
    const raw = Buffer.from('Subject: a\r\n b\r\n\tc\r\nTO:x\r\n\r\nBcc: body\r\n');
    const block = parseHeaders(raw);
    expect(block.fields.map((field) => [field.name, rawValue(block, field)])).toEqual([
      ['subject', 'a b\tc'],
      ['to', 'x'],
    ]);
    expect(raw.subarray(block.bodyStart).toString()).toBe('Bcc: body\r\n');
    expect(block.faults).toEqual([]);
  });

  test.each([
    ['no header', '\r\nbody\r\n', []],
    ['no body', 'Subject: x\r\n', []],
    ['nothing', '', []],
    ['H-09 no colon', 'Subject\r\n\r\n', ['noColon']],
    ['H-09 the colon is in the next field', 'Subject\r\nTo: x\r\n\r\n', ['noColon']],
    ['H-09 first line starts with a space', ' Subject: x\r\n\r\n', ['startsWithSpace']],
    ['H-09 empty name', ': x\r\n\r\n', ['emptyName']],
    ['a space inside the name', 'From x@y.example Mon: x\r\n\r\n', ['badName']],
    ['non-ASCII name', 'Sübject: x\r\n\r\n', ['badName']],
    ['P-20 space before the colon', 'To : x@y.example\r\n\r\n', ['spaceBeforeColon']],
    ['P-20 fold before the colon', 'To\r\n : x@y.example\r\n\r\n', ['spaceBeforeColon']],
    ['H-09 too many', 'A: 1\r\n'.repeat(1001), ['tooMany']],
    ['H-09 too large', `A: ${'x'.repeat(262_144)}\r\n\r\n`, ['tooLarge']],
  ])('%s', (_, text, faults) => {
    expect(parseHeaders(Buffer.from(text)).faults).toEqual(faults);
  });

  test('faults become refusals; a space before the colon only where we are strict', () => {
    expect(headerRefusal(['tooLarge'], { strict: false })).toMatchObject({ code: 552 });
    expect(headerRefusal(['tooMany'], { strict: false })).toMatchObject({ code: 552 });
    expect(headerRefusal(['noColon'], { strict: false })).toMatchObject({ code: 554, enhanced: '5.6.0' });
    expect(headerRefusal(['spaceBeforeColon'], { strict: true })).toMatchObject({ code: 554 });
    expect(headerRefusal(['spaceBeforeColon'], { strict: false })).toBeUndefined();
    expect(headerRefusal([], { strict: true })).toBeUndefined();
  });
});

describe('only what stands as an address is one', () => {
  test.each<[string, string, string[], string[]]>([
    ['plain', 'a@x.example, B <b@y.example>', ['a@x.example', 'b@y.example'], []],
    ['empty places', ',a@x.example,,', ['a@x.example'], []],
    ['a comma in a name', '"Doe, Jo" <a@x.example>', ['a@x.example'], []],
    ['an escaped quote in a name', '"a\\" <v@evil.com>," <a@x.example>', ['a@x.example'], []],
    ['P-01', '"xclow3n@gmail.com x"@internal.domain', [], ['syntax']],
    ['P-02', '"a@evil.com> "@good.com', [], ['syntax']],
    ['P-04', 'a@good.com\0.evil.com', [], ['syntax']],
    ['P-05 route', '@evil.com:a@good.com', ['a@good.com'], ['route', 'syntax']],
    ['P-05 route in brackets', '<@evil.com:a@good.com>', [], ['route']],
    ['P-08 comment behind', 'a@good.com (b@evil.com)', ['a@good.com'], []],
    ['P-08 comment before', '(b@evil.com, c@evil.com) a@good.com', ['a@good.com'], []],
    ['P-08 comment in a comment', 'a@good.com (x (b@evil.com) \\) y)', ['a@good.com'], []],
    ['P-08 comment without its end', 'a@good.com (b@evil.com', ['a@good.com'], ['syntax']],
    ['P-09', 'a@good.com;b@evil.com', ['a@good.com', 'b@evil.com'], ['syntax']],
    ['P-10 group', 'Friends: a@x.com, b@y.com;, c@z.com', ['a@x.com', 'b@y.com', 'c@z.com'], []],
    ['P-10 group in a group', 'A: B: a@x.com;;', ['a@x.com'], ['syntax']],
    ['P-10 empty group', 'undisclosed-recipients:;', [], []],
    ['P-10 group without its end', 'A: a@x.com', ['a@x.com'], ['syntax']],
    ['P-16 literal', 'a@[IPv6:::1], b@x.example', ['b@x.example'], ['literal']],
    ['P-17 encoded word', '=?utf-8?Q?a=40evil.com?=', [], ['syntax']],
    ['P-17 encoded word with a domain', '=?utf-8?q?=40attacker.com?=@microsoft.com', [], ['syntax']],
    ['P-17 encoded word that holds a mailbox', '=?utf-8?B?IlJ5ZGVsIiA8eEB5LmV4YW1wbGU+?=', [], ['syntax']],
    ['two in brackets', '<a@x.example><b@y.example>', ['a@x.example'], ['syntax']],
    ['words behind the brackets', '<a@x.example> b@y.example', ['a@x.example'], ['syntax']],
    ['two without a comma', 'a@x.example b@y.example', [], ['syntax']],
    ['brackets without an end', '<a@x.example', ['a@x.example'], ['syntax']],
    ['null path', '<>', [], ['syntax']],
    ['UTF-8', 'Jü <ü@bücher.example>', ['ü@xn--bcher-kva.example'], []],
  ])('%s', (_, text, addresses, faults) => {
    expect(addressesOf(text)).toEqual(addresses);
    expect(parseAddressList(text).faults.sort()).toEqual(faults);
  });

  test('names are decoded, on one line and bounded', () => {
    const nameOf = (text: string) => parseAddressList(text).addresses[0]?.name;
    expect(nameOf('=?utf-8?q?J=C3=BC?= =?utf-8?q?rgen?= X <a@x.example>')).toBe('Jürgen X');
    expect(nameOf('=?utf-8?q?a=0D=0ABcc=3A_v?= <a@x.example>')).toBe('a Bcc: v');
    expect(nameOf(`"${'ü'.repeat(5000)}" <a@x.example>`)?.length).toBeLessThan(200);
    expect(nameOf('a@x.example (Ana)')).toBe('');
  });

  test('P-19 reading stops at a thousand', () => {
    expect(parseAddressList('a@x.example,'.repeat(1000))).toMatchObject({ tooMany: false });
    const list = parseAddressList('a@x.example,'.repeat(50_000));
    expect(list.tooMany).toBe(true);
    expect(list.addresses).toHaveLength(1000);
  });

  test('P-19 the limit is for all fields together', () => {
    const text = `To: ${'a@x.example,'.repeat(600)}\r\nCc: ${'b@x.example,'.repeat(600)}\r\n\r\n`;
    expect(facts(text).tooManyAddresses).toBe(true);
  });
});

describe('encoded words', () => {
  test.each([
    ['=?utf-8?B?4pyT?=', '✓'],
    ['a =?utf-8?q?b_c?= d', 'a b c d'],
    ['=?utf-8?q?=E2=9C?= =?utf-8?q?=93?=', '✓'],
    ['=?iso-8859-1?q?=E4?=\t=?utf-8?q?=C3=A4?=', 'ää'],
    ['=?utf-8*de?q?x?=', 'x'],
    ['=?shift_jis?B?k/qWew==?=', '日本'],
    ['M-10 =?utf-7?q?+ADw-script+AD4-?=', 'M-10 +ADw-script+AD4-'],
    ['M-10 =?x-unknown?q?=E4?=', 'M-10 ä'],
    ['=?utf-8?x?y?=', '=?utf-8?x?y?='],
    ['=?utf-8?q?unfinished', '=?utf-8?q?unfinished'],
    ['=?=?utf-8?q?x?=', '=?x'],
    ['a=?utf-8?q?b?=c', 'abc'],
  ])('%s', (text, decoded) => {
    expect(decodeWords(text)).toBe(decoded);
  });
});

describe('the facts', () => {
  const text = [
    'Received: from a by mx.ours.example with ESMTP id 1; Mon, 1 Jan 2024 00:00:00 +0000',
    'Received: from b by mx.ours.example.evil.example with ESMTP; x',
    'Received: from c\r\n\tby MX.ours.example (Postern); x',
    'From: Ana <ana@x.example>',
    'To: bob@y.example',
    'Cc: c@y.example',
    'To: d@y.example',
    'BCC:',
    'Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe=0D=0A?= und mehr',
    'Message-ID: <1@x.example>',
    'In-Reply-To: <0@x.example>',
    'References: <r@x.example> <<x> junk <0@x.example>',
    'Date: Mon, 01 Jan 2024 12:00:00 +0200 (CEST)',
    'Content-Type: Multipart/Mixed; boundary="x"',
    'Auto-Submitted: auto-generated (rejected)',
    'Precedence: bulk',
    'List-Id: Ours <list.ours.example>',
    'X-Postern-Tags: a, b',
    'X-Postern-Oversight: gated_all',
    '',
    'bödy',
    '',
  ].join('\r\n');

  test('are read from the header', () => {
    expect(facts(text)).toMatchObject({
      from: [{ address: 'ana@x.example', name: 'Ana' }],
      to: [
        { address: 'bob@y.example', name: '' },
        { address: 'd@y.example', name: '' },
      ],
      cc: [{ address: 'c@y.example', name: '' }],
      hasBcc: true,
      subject: 'Grüße und mehr',
      messageId: '<1@x.example>',
      inReplyTo: ['<0@x.example>'],
      references: ['<r@x.example>', '<x>', '<0@x.example>'],
      date: '2024-01-01T10:00:00.000Z',
      receivedCount: 3,
      ourReceivedCount: 2,
      contentType: 'multipart/mixed',
      autoSubmitted: 'auto-generated',
      precedence: 'bulk',
      listId: 'Ours <list.ours.example>',
      duplicates: ['to'],
      control: [
        { name: 'x-postern-tags', value: 'a, b' },
        { name: 'x-postern-oversight', value: 'gated_all' },
      ],
      has8bitHeader: false,
      has8bitBody: true,
      unreadable: [],
    });
  });

  test('are JSON', () => {
    expect(JSON.parse(JSON.stringify(facts(text)))).toEqual(facts(text));
  });

  test('an empty message has facts too', () => {
    expect(facts('')).toMatchObject({ from: [], subject: '', messageId: null, hasDate: false, date: null });
  });

  test.each([
    ['R-21 "ceo@corp.com" <x@ours.example>', true],
    ['R-21 =?utf-8?q?ceo=40corp.com?= <x@ours.example>', true],
    ['ceo＠corp.com <x@ours.example>', true],
    ['"X@ours.example" <x@ours.example>', false],
    ['Ana at Ours <x@ours.example>', false],
  ])('a display name that is another address is seen: %s', (from, seen) => {
    expect(facts(`From: ${from.replace('R-21 ', '')}\r\n\r\n`).nameLooksLikeAddress).toBe(seen);
  });

  test('R-29 folded Received fields count one each', () => {
    expect(facts('Received:\r\n x\r\n'.repeat(200)).receivedCount).toBe(200);
  });

  test('a long thread keeps its root and its latest', () => {
    const ids = Array.from({ length: 5000 }, (_, i) => `<${i}@x>`);
    const { references } = facts(`References: ${ids.join(' ')}\r\n\r\n`);
    expect(references).toHaveLength(50);
    expect([references[0], references[1], references.at(-1)]).toEqual(['<0@x>', '<4951@x>', '<4999@x>']);
  });
});

/** Doubling the input may double the time; a quadratic reader takes four times as long and far more than this. */
describe('M-11 no header makes the reader slow', () => {
  const PROBES = [
    '[',
    'a@',
    '=?',
    '=?a?q?',
    '<',
    '<a',
    '(',
    '"',
    '"a" ',
    ',',
    'a@b.c,',
    'a:',
    ':',
    ';',
    '\\',
    ' ',
    '\t(',
    '>',
    '<a@b> ',
  ];
  const FIELDS = [
    'Subject',
    'From',
    'References',
    'Message-ID',
    'Date',
    'Received',
    'Content-Type',
    'X-Postern-Tags',
  ];

  // Four times the bytes may cost some four times the work; what looks at pairs would take sixteen times as long.
  test.each(PROBES)('%j in every field costs no more than its length', (probe) => {
    for (const name of FIELDS) {
      const [short, long] = [60_000, 240_000].map((bytes) => fastest(name, probe, bytes)) as [number, number];
      expect(long, `${name}: ${short} ms, then ${long} ms`).toBeLessThan(10 * Math.max(short, 1));
    }
  });

  function fastest(name: string, probe: string, bytes: number): number {
    const raw = Buffer.from(`${name}: ${probe.repeat(Math.floor(bytes / probe.length))}\r\n\r\n`);
    const times = Array.from({ length: 4 }, () => {
      const start = performance.now();
      readFacts(raw, { hostname: 'mx.ours.example' });
      return performance.now() - start;
    });
    return Math.min(...times);
  }
});
