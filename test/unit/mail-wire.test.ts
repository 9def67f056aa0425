import { describe, expect, test } from 'vitest';
import { DotDecoder } from '../../core/mail/dot-stream.ts';
import { checkLineEndings, LineEndingCheck, normalise, wireRefusal } from '../../core/mail/wire.ts';

const limits = { lineBytes: 2048 };
const refusalOf = (text: string) => wireRefusal(checkLineEndings(Buffer.from(text, 'latin1')), limits)?.text;

test.each([
  ['S-01', 'a\n.\nMAIL FROM:<evil@x>\r\n', 'Lines must end in CRLF'],
  ['S-02', 'a\n.\r\n', 'Lines must end in CRLF'],
  ['S-03', 'a\r\n.\n', 'Lines must end in CRLF'],
  ['S-04', 'a\r.\r', 'Lines must end in CRLF'],
  ['S-07', 'a\r\n.\r\r\n', 'Lines must end in CRLF'],
  ['S-08', 'a\r\n\0.\r\n', 'NUL is not allowed in a message'],
  ['C-02 998', `${'x'.repeat(998)}\r\n`, undefined],
  ['C-02 2048', `${'x'.repeat(2048)}\r\n`, undefined],
  ['C-02 2049', `${'x'.repeat(2049)}\r\n`, 'Message line too long'],
  ['C-02 without its end', 'x'.repeat(2049), 'Message line too long'],
  ['empty', '', undefined],
  ['plain', 'Subject: x\r\n\r\n.\r\n', undefined],
])('%s', (_, text, refusal) => {
  expect(refusalOf(text)).toBe(refusal);
});

test('a CR at the end of one chunk and the LF of the next are one line ending', () => {
  const check = new LineEndingCheck();
  for (const chunk of ['ab\r', '\ncd\r', '\n']) check.push(Buffer.from(chunk));
  expect(check.result()).toEqual({
    bareCr: false,
    bareLf: false,
    nul: false,
    longestLine: 2,
    terminated: true,
  });
});

test('S-13 normalising makes every line ending CRLF, once', () => {
  expect(normalise(Buffer.from('a\n.\nb\rc\r\nd\r\r\n')).toString()).toBe('a\r\n.\r\nb\r\nc\r\nd\r\n\r\n');
  const clean = Buffer.from('a\r\n');
  expect(normalise(clean)).toBe(clean);
});

describe('the content of DATA', () => {
  test.each([
    ['nothing', '.\r\n', ''],
    ['one empty line', '\r\n.\r\n', '\r\n'],
    ['S-12 two dots', '..\r\n.\r\n', '.\r\n'],
    ['S-12 three dots', '...\r\n.\r\n', '..\r\n'],
    ['S-12 a dot and 998 more', `.${'x'.repeat(998)}\r\n.\r\n`, `${'x'.repeat(998)}\r\n`],
    ['S-12 last line', 'a\r\n..\r\n.\r\n', 'a\r\n.\r\n'],
    ['S-01 bare LF around the dot', 'a\n.\nb\r\n.\r\n', 'a\n.\nb\r\n'],
    ['S-02 bare LF before the dot', 'a\n.\r\nb\r\n.\r\n', 'a\n.\r\nb\r\n'],
    ['S-03 bare LF behind the dot', 'a\r\n.\nb\r\n.\r\n', 'a\r\n\nb\r\n'],
    ['S-04 bare CR around the dot', 'a\r.\rb\r\n.\r\n', 'a\r.\rb\r\n'],
    ['S-07 two CR behind the dot', 'a\r\n.\r\r\nb\r\n.\r\n', 'a\r\n\r\r\nb\r\n'],
    ['S-08 NUL behind the dot', 'a\r\n.\0\r\nb\r\n.\r\n', 'a\r\n\0\r\nb\r\n'],
  ])('%s', (_, wire, content) => {
    const decoded = new DotDecoder().push(Buffer.from(`${wire}QUIT\r\n`));
    expect(decoded.content.toString()).toBe(content);
    expect(decoded.rest?.toString()).toBe('QUIT\r\n');
  });

  test('nothing can be decoded behind the end', () => {
    const decoder = new DotDecoder();
    decoder.push(Buffer.from('.\r\n'));
    expect(() => decoder.push(Buffer.from('x'))).toThrow('has ended');
  });
});
