import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseHeaders } from '../../core/mail/headers.ts';
import { readStructure } from '../../core/mail/structure.ts';

const word = fc.constantFrom(
  'Content-Type: multipart/mixed; boundary=b\r\n',
  'Content-Type: multipart/alternative; boundary="b b"\r\n',
  'Content-Type: text/plain; charset=x\r\n',
  "Content-Type: application/x; name*0*=utf-8''%ff; name*1=\"\r\n",
  'Content-Disposition: attachment; filename="../\\',
  'Content-Transfer-Encoding: base64\r\n',
  'Content-Transfer-Encoding: quoted-printable\r\n',
  '\r\n',
  '--b\r\n',
  '--b b\r\n',
  '--b--\r\n',
  '--b',
  'AAAA\r\n',
  '=3D=\r\n',
  ';',
  '"',
  '\0',
  '\u202e',
);
const hostile = fc
  .array(fc.oneof({ weight: 6, arbitrary: word }, fc.string({ unit: 'binary', maxLength: 40 })), {
    maxLength: 60,
  })
  .map((pieces) => Buffer.from(pieces.join('')));

test('whatever the bytes are, parts lie in the message, one behind the other, under names that fit a file', () => {
  fc.assert(
    fc.property(hostile, (raw) => {
      const { attachments, texts } = readStructure(raw, parseHeaders(raw));
      const parts = [...attachments, ...texts].toSorted((a, b) => b.from - a.from || b.to - a.to);
      for (const [i, { from, to }] of parts.entries()) {
        expect(from).toBeLessThanOrEqual(raw.length);
        expect(to).toBeGreaterThanOrEqual(0);
        expect(from).toBeGreaterThanOrEqual(to);
        if (i > 0) expect(parts[i - 1]!.to).toBeGreaterThanOrEqual(from);
      }
      expect(new Set(attachments.map(({ name }) => name)).size).toBe(attachments.length);
      for (const { name, size, from, to } of attachments) {
        expect(name).not.toMatch(/[/\\\p{Cc}\p{Bidi_Control}]|^\.*$/u);
        expect(Buffer.byteLength(name)).toBeLessThanOrEqual(255);
        expect(name.isWellFormed()).toBe(true);
        expect(size).toBeLessThanOrEqual(from - to);
      }
    }),
    { numRuns: 2000 },
  );
});
