import { describe, expect, test } from 'vitest';
import { cleanFileName, distinctName } from '../../core/mail/attachment-name.ts';
import { readFacts } from '../../core/mail/facts.ts';
import { parseHeaders } from '../../core/mail/headers.ts';
import { readStructured } from '../../core/mail/parameters.ts';
import { readStructure } from '../../core/mail/structure.ts';

const bytes = (text: string) => Buffer.from(text.replaceAll('\n', '\r\n'));
const structureOf = (text: string) => readStructure(bytes(text), parseHeaders(bytes(text)));
const bodyOf = (text: string, { from, to }: { from: number; to: number }) => {
  const raw = bytes(text);
  return raw.subarray(raw.length - from, raw.length - to).toString();
};
const part = (header: string, body = 'x') => `--b\n${header}\n\n${body}\n`;
const mixed = (...parts: string[]) =>
  `Content-Type: multipart/mixed; boundary=b\n\npreamble\n${parts.join('')}--b--\nepilogue\n`;
const named = (header: string) =>
  structureOf(mixed(part(`Content-Type: a/b\n${header}`))).attachments[0]!.name;

const USUAL = `Content-Type: multipart/mixed; boundary="outer"

--outer
Content-Type: multipart/alternative; boundary="inner"

--inner
Content-Type: text/plain; charset=utf-8

plain
--inner
Content-Type: text/html

<p>html</p>
--inner--

--outer
Content-Type: application/pdf; name="a.pdf"
Content-Disposition: attachment; filename="a.pdf"
Content-Transfer-Encoding: base64

SGVsbG8s
IHdvcmxk
--outer
Content-Type: image/png
Content-Disposition: inline

raw
--outer--
`;

describe('parts are found where they lie', () => {
  test('texts in their group, files with name, type and decoded size', () => {
    const { attachments, texts } = structureOf(USUAL);
    expect(texts.map(({ type, charset, group }) => [type, charset, group])).toEqual([
      ['text/plain', 'utf-8', 1],
      ['text/html', null, 1],
    ]);
    expect(texts.map((text) => bodyOf(USUAL, text))).toEqual(['plain', '<p>html</p>']);
    expect(attachments).toMatchObject([
      { name: 'a.pdf', type: 'application/pdf', size: 12, disposition: 'attachment', encoding: 'base64' },
      { name: 'attachment-2.png', type: 'image/png', size: 3, disposition: 'inline', encoding: 'identity' },
    ]);
    expect(bodyOf(USUAL, attachments[0]!)).toBe('SGVsbG8s\r\nIHdvcmxk');
  });

  test('their places hold when the header changes', () => {
    const before = structureOf(USUAL);
    expect(structureOf(`Received: by us\nX-More: 1\n${USUAL}`)).toEqual(before);
  });

  test('what has no end reaches to the end of what holds it', () => {
    const cut = USUAL.slice(0, USUAL.indexOf('--inner--'));
    const { texts } = structureOf(cut);
    expect(bodyOf(cut, texts[1]!)).toBe('<p>html</p>\r\n');
    const inner = USUAL.replace('--inner--\n\n', '');
    expect(bodyOf(inner, structureOf(inner).texts[1]!)).toBe('<p>html</p>');
  });

  test.each([
    ['text that only begins like a delimiter', '--bb\nContent-Type: a/b\n\nno\n'],
    ['a delimiter in the middle of a line', 'x--b\nContent-Type: a/b\n\nno\n'],
  ])('%s is text', (_, text) => {
    expect(structureOf(mixed(part('Content-Type: c/d', text))).attachments).toHaveLength(1);
  });

  test('white space behind a delimiter is allowed for', () => {
    const { attachments } = structureOf(
      'Content-Type: multipart/mixed; boundary=b\n\n--b \t\nContent-Type: a/b\n\nx\n--b-- \n',
    );
    expect(attachments).toMatchObject([{ size: 1 }]);
  });

  test('a message in a message is one file, and in a digest that is the usual type', () => {
    const message = `Content-Type: ${'multipart/mixed'}; boundary=c\n\n--c\nContent-Type: a/b\n\nx\n--c--`;
    expect(structureOf(mixed(part('Content-Type: message/rfc822', message))).attachments).toMatchObject([
      { name: 'attachment-1.eml', type: 'message/rfc822' },
    ]);
    const digest = mixed(part('X: y')).replace('mixed', 'digest');
    expect(structureOf(digest).attachments).toMatchObject([{ type: 'message/rfc822' }]);
  });

  test('a multipart without a delimiter is a file of bytes', () => {
    expect(structureOf('Content-Type: multipart/mixed; boundary=b\n\nnothing').attachments).toMatchObject([
      { type: 'multipart/mixed', size: 7 },
    ]);
  });

  test('a file that is the whole message', () => {
    const { attachments } = structureOf(
      'Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\nAAAA\nAA==\n',
    );
    expect(attachments).toMatchObject([{ name: 'a.pdf', size: 4 }]);
  });

  test('facts have them, but for plain mail', () => {
    const facts = (text: string) => readFacts(bytes(text), { hostname: 'x' });
    expect(facts(USUAL)).toMatchObject({ attachments: [{ name: 'a.pdf' }, {}], texts: [{}, {}] });
    expect(facts('Subject: x\n\nhello\n')).not.toHaveProperty('texts');
    expect(facts('Content-Type: text/html\n\n<p>\n')).not.toHaveProperty('attachments');
  });
});

test.each([
  ['base64', 'SGVsbG8sIHdvcmxk', 12],
  ['base64', 'SGVsbG8s\nIHdvcmxk', 12],
  ['base64', 'SGVs\nbG8s\nIHdv\nx\ny', 10],
  ['base64', 'S G V s', 3],
  ['base64', '', 0],
  ['quoted-printable', 'a=3Db=\nc', 4],
  ['quoted-printable', '=ZZ=', 4],
  ['7bit', 'abc', 3],
  ['x-unknown', 'abc', 3],
])('the size of %s %j is %i', (encoding, body, size) => {
  const text = mixed(part(`Content-Type: a/b\nContent-Transfer-Encoding: ${encoding}`, body));
  expect(structureOf(text).attachments[0]!.size).toBe(size);
});

describe('names of files', () => {
  test.each([
    ['quoted', 'Content-Disposition: attachment; filename="a b.txt"', 'a b.txt'],
    ['a token', 'Content-Disposition: attachment; filename=a.txt', 'a.txt'],
    ['escaped quotes', 'Content-Disposition: attachment; filename="a\\"b;c.txt"', 'a"b;c.txt'],
    ['folded', 'Content-Disposition: attachment;\n filename="a.txt"', 'a.txt'],
    ['RFC 2231', "Content-Disposition: attachment; filename*=utf-8'en'na%C3%AFve.txt", 'naïve.txt'],
    ['RFC 2231 in latin1', "Content-Disposition: attachment; filename*=iso-8859-1''na%EFve.txt", 'naïve.txt'],
    [
      'in pieces',
      "Content-Disposition: attachment; filename*0*=utf-8''na%C3; filename*1*=%AFve; filename*2=.txt",
      'naïve.txt',
    ],
    ['in plain pieces', 'Content-Disposition: attachment; filename*0="a "; filename*1=b.txt', 'a b.txt'],
    [
      'the extended form before the plain one',
      "Content-Disposition: attachment; filename=x.txt; filename*=utf-8''%C3%A4.txt",
      'ä.txt',
    ],
    [
      'an encoded word',
      'Content-Disposition: attachment; filename="=?utf-8?q?na=C3=AFve=2Etxt?="',
      'naïve.txt',
    ],
    ['raw UTF-8', 'Content-Disposition: attachment; filename="naïve.txt"', 'naïve.txt'],
    ['of the type', 'Content-Type: a/c; name="of-type.txt"', 'attachment-1.bin'],
    ['empty', 'Content-Disposition: attachment; filename=""', 'attachment-1.bin'],
    ['path', 'Content-Disposition: attachment; filename="../..\\\\etc/passwd"', '.._.._etc_passwd'],
    ['dots', 'Content-Disposition: attachment; filename=".."', '__'],
    ['direction', "Content-Disposition: attachment; filename*=utf-8''a%E2%80%AEfdp.exe", 'a_fdp.exe'],
  ])('%s', (_, header, name) => {
    expect(named(header)).toBe(name);
  });

  test('are cut at 255 octets, between characters', () => {
    expect(Buffer.byteLength(cleanFileName('ä'.repeat(300)))).toBe(254);
    expect(cleanFileName('a\r\nb')).toBe('a__b');
  });

  test('are distinct', () => {
    const one = part('Content-Type: a/b\nContent-Disposition: attachment; filename=a.txt');
    expect(structureOf(mixed(one, one, one)).attachments.map(({ name }) => name)).toEqual([
      'a.txt',
      'a (2).txt',
      'a (3).txt',
    ]);
    const long = cleanFileName(`${'x'.repeat(300)}`);
    const taken = new Set([long]);
    expect(Buffer.byteLength(distinctName(long, taken))).toBe(255);
  });
});

test('parameters: of two equal ones the first counts', () => {
  expect(readStructured('A/B; x=1; X=2; ; y; z=" 3 "')).toEqual({
    value: 'a/b',
    parameters: new Map([
      ['x', '1'],
      ['z', ' 3 '],
    ]),
  });
});

describe('hostile structure', () => {
  test('is followed to a depth and a number of parts', () => {
    let nested = 'x';
    for (let i = 0; i < 50; i++)
      nested = `Content-Type: multipart/mixed; boundary=b${i}\n\n--b${i}\n${nested}\n--b${i}--\n`;
    expect(structureOf(nested).attachments).toMatchObject([{ type: 'multipart/mixed' }]);
    const many = structureOf(mixed(part('Content-Type: a/b').repeat(5000)));
    expect(many.attachments).toHaveLength(256);
  });

  test('half-delimiters without end are given up on', () => {
    const text = `Content-Type: multipart/mixed; boundary=b\n\n${'--bx\n'.repeat(20_000)}--b\nContent-Type: a/b\n\nx`;
    expect(structureOf(text).attachments).toMatchObject([{ type: 'multipart/mixed' }]);
  });
});
