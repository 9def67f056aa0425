import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { htmlToPlainText } from '../../api/reading/html-text.ts';
import { textOfPart } from '../../api/reading/text-of-part.ts';
import type { TextPart } from '../../core/mail/structure.ts';
import { decoded } from '../../core/mail/transfer-decoder.ts';

const part = (about: Partial<TextPart> = {}): TextPart => ({
  type: 'text/plain',
  charset: 'utf-8',
  encoding: 'identity',
  from: 0,
  to: 0,
  ...about,
});

describe('the text of a part', () => {
  test.each<[string, Partial<TextPart>, string, string]>([
    ['UTF-8', {}, 'grüße\r\n\r\n', 'grüße'],
    ['an older charset', { charset: 'iso-8859-1', encoding: 'quoted-printable' }, 'gr=FC=\r\n=DFe', 'grüße'],
    ['base64', { encoding: 'base64' }, 'Z3LDvMOf\r\nZQ==', 'grüße'],
    ['a charset nobody knows', { charset: 'x-none' }, 'text', 'text'],
    ['M-10 UTF-7', { charset: 'utf-7', type: 'text/html' }, '+ADw-b+AD4-', '+ADw-b+AD4-'],
    ['M-10 UTF-7 by another name', { charset: 'unicode-1-1-utf-7' }, '+ADw-', '+ADw-'],
    ['flowed lines', { flowed: 'flowed' }, 'one \r\ntwo\r\nthree', 'one two\nthree'],
    [
      'HTML',
      { type: 'text/html' },
      '<h1>Hi</h1><p>you<img src="http://x.example/b.gif" alt="!"></p>',
      'Hi\n\nyou!',
    ],
    ['a header that is none', {}, 'Content-Type: text/html\r\n\r\n<b>', 'Content-Type: text/html\n\n<b>'],
    ['NUL', {}, 'a\0b', 'a\ufffdb'],
  ])('%s', async (_, about, body, text) => {
    expect(await textOfPart(part(about), Buffer.from(body))).toBe(text);
  });

  test('whatever the bytes are, it is text that can be stored', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 300 }),
        fc.constantFrom<TextPart['type']>('text/plain', 'text/html'),
        fc.constantFrom<TextPart['encoding']>('identity', 'base64', 'quoted-printable'),
        fc.constantFrom('utf-8', 'utf-16le', 'iso-2022-jp', 'utf-7', 'x'),
        async (bytes, type, encoding, charset) => {
          const text = await textOfPart(part({ type, encoding, charset }), Buffer.from(bytes));
          expect(text.isWellFormed() && !text.includes('\0')).toBe(true);
        },
      ),
      { numRuns: 200 },
    );
  });
});

test('HTML that is nested without end is told without its tags', () => {
  expect(htmlToPlainText(`${'<div>'.repeat(150_000)}x`)).toBe('x');
  expect(htmlToPlainText(`${'<div><b></x>'.repeat(1_500)}x`)).toBe('x');
  expect(htmlToPlainText('<p>a<br>b</p>'.repeat(2_000)).length).toBeGreaterThan(6_000);
});

describe('an encoding is taken off in pieces', () => {
  const whole = async (text: string, cuts: number, encoding: TextPart['encoding']) => {
    async function* pieces() {
      const step = Math.max(1, Math.ceil(text.length / cuts));
      for (let at = 0; at < text.length; at += step) yield Buffer.from(text.slice(at, at + step), 'latin1');
    }
    const out: Buffer[] = [];
    for await (const piece of decoded(pieces(), encoding)) out.push(piece);
    return Buffer.concat(out);
  };

  test('wherever they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.integer({ min: 1, max: 50 }),
        async (bytes, cuts) => {
          const raw = Buffer.from(bytes);
          const base64 = raw.toString('base64').replace(/(.{7})/g, '$1\r\n');
          expect(await whole(base64, cuts, 'base64')).toEqual(raw);
          const quoted = [...raw].map((byte) => `=${byte.toString(16).padStart(2, '0')}`).join('=\r\n');
          expect(await whole(quoted, cuts, 'quoted-printable')).toEqual(raw);
          expect(await whole(raw.toString('latin1'), cuts, 'identity')).toEqual(raw);
        },
      ),
      { numRuns: 200 },
    );
  });

  test('what is broken is passed over', async () => {
    expect((await whole('SGVs!!\r\nbG8', 3, 'base64')).toString()).toBe('Hello');
    expect((await whole('a=zz=', 2, 'quoted-printable')).toString()).toBe('a=zz=');
  });
});
