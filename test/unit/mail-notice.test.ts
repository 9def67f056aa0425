import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { codeHash, isCode, maskedAddress, newCode, plainCode } from '../../core/mail/code.ts';
import { readFacts } from '../../core/mail/facts.ts';
import { composeNotice } from '../../core/mail/notice.ts';
import { isPublicSuffix } from '../../core/mail/public-suffix.ts';
import { checkLineEndings } from '../../core/mail/wire.ts';

const notice = (subject: string, text: string) =>
  composeNotice({
    from: 'postern@gateway.example',
    to: 'ana@remote.example',
    subject,
    text,
    date: new Date('2026-01-31T09:00:00Z'),
    messageId: '<one@gateway.example>',
  });

test('a code has no characters that look like others, and is never foreseen', () => {
  const codes = Array.from({ length: 500 }, newCode);
  for (const code of codes) expect(code).toMatch(/^[2-9A-HJ-NP-Z]{3}-[2-9A-HJ-NP-Z]{3}$/);
  expect(new Set(codes).size).toBeGreaterThan(490);
});

test.each(['A7X-29K', 'a7x29k', ' a7x 29k ', 'A7X–29K', 'A7X\u00a0-\t29k'])(
  'a code means the same however it is typed: %j',
  (typed) => {
    expect(plainCode(typed)).toBe('A7X29K');
    const secret = randomBytes(32);
    expect(isCode(codeHash(secret, 'row', 'A7X-29K'), secret, 'row', typed)).toBe(true);
  },
);

test('what is kept of a code says nothing without the secret, and equal codes look different', () => {
  const [secret, other] = [randomBytes(32), randomBytes(32)];
  const kept = codeHash(secret, 'one', 'A7X-29K');
  expect(isCode(kept, other, 'one', 'A7X-29K')).toBe(false);
  expect(isCode(kept, secret, 'two', 'A7X-29K')).toBe(false);
  expect(isCode(kept, secret, 'one', 'A7X-29L')).toBe(false);
});

test('an address is shown to strangers without what they would need to guess', () => {
  expect(maskedAddress('operator@example.com')).toBe('o***@example.com');
  expect(maskedAddress('a@example.com')).toBe('a***@example.com');
});

test('a notice is plain text that no robot answers', () => {
  const mail = notice('Hello', 'one\n\ntwo\n');
  expect(mail.toString()).toMatch(/^Auto-Submitted: auto-generated\r$/m);
  expect(mail.toString()).toMatch(/\r\n\r\none\r\n\r\ntwo\r\n$/);
  expect(checkLineEndings(mail)).toMatchObject({ bareCr: false, bareLf: false, terminated: true });
});

test('a notice in any script arrives as it was written', () => {
  const subject = `Freigabe für „Müller & Söhne“ ${'日本語 '.repeat(30)}🙂`.trim();
  const mail = notice(subject, 'Grüße an Jürgen, und 🙂\n');
  expect(mail.every((byte) => byte < 128)).toBe(true);
  expect(readFacts(mail, { hostname: 'x' }).subject).toBe(subject);
  const body = mail.toString().split('\r\n\r\n')[1]!;
  expect(Buffer.from(body, 'base64').toString()).toBe('Grüße an Jürgen, und 🙂\r\n');
  for (const line of mail.toString().split('\r\n')) expect(line.length).toBeLessThanOrEqual(78);
});

test.each([
  ['com', true],
  ['co.uk', true],
  ['com.au', true],
  ['example.com', false],
  ['co.com', false],
  ['bbc.co.uk', false],
  ['id.me', false],
])('that anybody can have a name below %s: %s', (domain, is) => {
  expect(isPublicSuffix(domain)).toBe(is);
});
