import { describe, expect, test } from 'vitest';
import {
  type AddressFault,
  displayAddress,
  parseAddress,
  parsePath,
  sameAddress,
} from '../../core/mail/address.ts';
import { matchesPattern, parsePattern } from '../../core/mail/pattern.ts';
import { mixedScript } from '../../core/mail/script.ts';

const local64 = 'l'.repeat(64);
const label = (n: number) => 'd'.repeat(n);
// 64 + @ + 189 = 254 octets, the longest address a path of 256 holds
const domain189 = `${label(63)}.${label(63)}.${label(61)}`;

describe('an address is refused, with the fault that names the reply', () => {
  test.each<[string, string, AddressFault]>([
    ['P-01 quoted local part with an address inside', '"xclow3n@gmail.com x"@internal.domain', 'quoted'],
    ['P-02 quoted specials', '"a@evil.com> "@good.com', 'quoted'],
    ['P-03 a header behind it', 'a@good.com\r\nBcc: v@evil.com', 'syntax'],
    ['P-03 lone CR', 'a@good.com\r', 'syntax'],
    ['P-03 lone LF', 'a\n@good.com', 'syntax'],
    ['P-04 NUL', 'a@good.com\0.evil.com', 'syntax'],
    ['P-05 source route', '@evil.com:a@good.com', 'route'],
    ['P-05 source route of two', '@ours,@b:v@other.example', 'route'],
    ['P-05 source route in brackets', '<@evil.com:a@good.com>', 'syntax'],
    ['P-08 comment', 'a@good.com (b@evil.com)', 'syntax'],
    ['P-08 comment glued to it', 'a(b@evil.com)@good.com', 'syntax'],
    ['P-09 two of them', 'a@good.com;b@evil.com', 'syntax'],
    ['P-09 two with a comma', 'a@good.com,b@evil.com', 'syntax'],
    ['P-10 group', 'Friends: a@x.com, b@y.com;', 'syntax'],
    ['P-13 trailing dot', 'a@good.com.', 'syntax'],
    ['P-13 leading dot in the domain', 'a@.good.com', 'syntax'],
    ['P-13 two dots', 'a..b@good.com', 'syntax'],
    ['P-13 leading dot', '.a@good.com', 'syntax'],
    ['P-13 dot before @', 'a.@good.com', 'syntax'],
    ['P-15 local part of 65', `${local64}l@x.example`, 'tooLong'],
    ['P-15 local part of 33 two-octet letters', `${'é'.repeat(33)}@x.example`, 'tooLong'],
    ['P-15 domain of 256', `a@${`${label(63)}.`.repeat(4).slice(0, -1)}.a`, 'tooLong'],
    ['P-15 address of 255', `${local64}@${domain189}d`, 'tooLong'],
    ['label of 64', `a@${label(64)}.example`, 'domain'],
    ['P-16 IPv6 literal', 'a@[IPv6:::1]', 'literal'],
    ['P-16 short IPv4 literal', 'a@[127.1]', 'literal'],
    ['P-16 number', 'a@2130706433', 'literal'],
    ['P-16 number in hex', 'a@0x7f.1', 'literal'],
    ['P-16 full-width digits', 'a@１２７.0.0.1', 'literal'],
    ['P-16 mapped literal', 'a@[::ffff:127.0.0.1]', 'literal'],
    ['P-17 encoded word as local part', '=?utf-8?q?=40attacker.com?=@microsoft.com', 'syntax'],
    ['P-17 encoded word alone', '=?utf-8?Q?a=40evil.com?=', 'syntax'],
    ['C-21 A-label that says nothing', 'a@xn---', 'domain'],
    ['C-21 A-label that decodes to ASCII', 'a@xn--a.com', 'domain'],
    ['C-21 A-label without its end', 'a@xn--.com', 'domain'],
    ['percent escape', 'a@b%2ecom', 'domain'],
    ['path behind the domain', 'a@b.com/x', 'domain'],
    ['soft hyphen', 'a@go\u00adod.com', 'invisible'],
    ['ideographic full stop', 'a@good。com', 'domain'],
    ['underscore', 'a@x_y.example', 'domain'],
    ['hyphen first', 'a@-x.example', 'domain'],
    ['zero-width space', 'a\u200b@x.example', 'invisible'],
    ['right-to-left override', 'a\u202e@x.example', 'invisible'],
    ['Hangul filler', '\u3164@x.example', 'invisible'],
    ['lone surrogate', 'a\ud800@x.example', 'invisible'],
    ['decomposed letter', 'e\u0301@x.example', 'syntax'],
    ['mark without a letter', '\u0301a@x.example', 'syntax'],
    ['two @', 'v@other.example@ours.example', 'syntax'],
    ['no domain', 'v', 'syntax'],
    ['nothing behind @', 'v@', 'syntax'],
    ['nothing before @', '@x.example', 'syntax'],
    ['nothing', '', 'syntax'],
    ['space', 'a b@x.example', 'syntax'],
    ['a megabyte', 'a'.repeat(1e6), 'tooLong'],
  ])('%s', (_, text, fault) => {
    expect(parseAddress(text, { smtputf8: true })).toEqual({ ok: false, fault });
  });
});

describe('an address has one canonical form', () => {
  test.each([
    ['P-14 domain in lower case, local part as written', 'A.b+Tag@GOOD.com', 'A.b+Tag@good.com'],
    ['every atom character', "!#$%&'*+/=?^_`{|}~-@x.example", "!#$%&'*+/=?^_`{|}~-@x.example"],
    [
      'percent and bang are letters like others',
      'v%other.example@ours.example',
      'v%other.example@ours.example',
    ],
    ['C-21 U-label', 'a@bücher.example', 'a@xn--bcher-kva.example'],
    ['C-21 U-label in upper case', 'a@BÜCHER.example', 'a@xn--bcher-kva.example'],
    ['C-21 A-label in upper case', 'a@XN--Bcher-KVA.example', 'a@xn--bcher-kva.example'],
    ['P-11 Cyrillic', 'аdmin@good.com', 'аdmin@good.com'],
    ['P-15 the longest', `${local64}@${domain189}`, `${local64}@${domain189}`],
    ['one label', 'root@localhost', 'root@localhost'],
    ['digits that are no IPv4', 'a@1.2.3.example', 'a@1.2.3.example'],
  ])('%s', (_, text, address) => {
    expect(parseAddress(text, { smtputf8: true })).toMatchObject({ ok: true, address });
    expect(parseAddress(address, { smtputf8: true })).toMatchObject({ ok: true, address });
  });

  test('C-18 without SMTPUTF8 only ASCII is an address, A-labels included', () => {
    expect(parseAddress('ü@x.example')).toEqual({ ok: false, fault: 'needsSmtputf8' });
    expect(parseAddress('a@bücher.example')).toEqual({ ok: false, fault: 'needsSmtputf8' });
    expect(parseAddress('a@xn--bcher-kva.example')).toMatchObject({ ok: true });
  });

  test('people see U-labels', () => {
    expect(displayAddress('a@xn--bcher-kva.example')).toBe('a@bücher.example');
    expect(displayAddress('')).toBe('');
  });
});

test('a path has brackets, and only a reverse-path may be null', () => {
  expect(parsePath('<a@X.example>')).toEqual({ ok: true, path: 'a@x.example' });
  expect(parsePath('<>', { allowNull: true })).toEqual({ ok: true, path: '' });
  expect(parsePath('<>')).toEqual({ ok: false, fault: 'syntax' });
  expect(parsePath('a@x.example')).toEqual({ ok: false, fault: 'syntax' });
  expect(parsePath('<@a:b@c.example>')).toEqual({ ok: false, fault: 'route' });
  expect(parsePath('<<a@x.example>>')).toEqual({ ok: false, fault: 'syntax' });
});

test('P-14 our own mailboxes do not care about case', () => {
  expect(sameAddress('Ana@x.example', 'ana@x.example')).toBe(true);
  expect(sameAddress('ana@x.example', 'ana@y.example')).toBe(false);
});

test.each([
  ['а Cyrillic letter among Latin ones', 'аdmin@good.com', true],
  ['the same in the domain', 'admin@xn--gd-fmca.com', true],
  ['plain ASCII', 'admin@good.com', false],
  ['all Cyrillic before a Latin domain', 'админ@good.com', false],
  ['Latin with a diacritic', 'jürgen@x.example', false],
  ['Japanese with Latin', '山田さんabc@x.example', false],
])('P-11 mixed scripts are flagged: %s', (_, address, flagged) => {
  expect(mixedScript(address)).toBe(flagged);
});

test.each([
  ['Ana@X.example', 'ana@x.example'],
  ['*@X.example', '*@x.example'],
  ['@x.example', '*@x.example'],
  ['*@bücher.example', '*@xn--bcher-kva.example'],
])('the pattern %s is kept as %s', (text, pattern) => {
  expect(parsePattern(text)).toEqual({ ok: true, pattern });
});

test.each([
  '',
  '*',
  '*@',
  '*@com',
  'ana@localhost',
  'a*@x.example',
  '*@*.example',
  '**@x.example',
  '*@x.example.',
  'x.example',
  '*@[127.0.0.1]',
  '*@127.0.0.1',
])('the pattern "%s" is refused', (text) => {
  expect(parsePattern(text).ok).toBe(false);
});

test.each([
  ['Ana@x.example', 'ana@x.example', true],
  ['ana+tag@x.example', 'ana@x.example', false],
  ['bob@x.example', '*@x.example', true],
  ['bob@sub.x.example', '*@x.example', false],
  ['bob@evilx.example', '*@x.example', false],
  ['', '*@x.example', false],
])('%s against %s: %s', (address, pattern, matches) => {
  expect(matchesPattern(address, pattern)).toBe(matches);
});
