import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseAddress } from '../../core/mail/address.ts';
import { parseAddressList } from '../../core/mail/address-list.ts';
import { messageDigest } from '../../core/mail/digest.ts';
import { composeDsn } from '../../core/mail/dsn.ts';
import { decodeWords } from '../../core/mail/encoded-word.ts';
import { readFacts } from '../../core/mail/facts.ts';
import { parseHeaders } from '../../core/mail/headers.ts';
import { parseNextHopReply } from '../../core/mail/next-hop.ts';
import { prepare } from '../../core/mail/prepare.ts';
import { checkLineEndings, LineEndingCheck, normalise } from '../../core/mail/wire.ts';

const RUNS = { numRuns: 5000 };
const CONTROL = /[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e]/;

/** Text made of the pieces that mail parsers care about. */
const mailish = fc
  .array(
    fc.oneof(
      {
        weight: 4,
        arbitrary: fc.constantFrom(
          'a',
          'B',
          '@',
          '.',
          'x.example',
          '<',
          '>',
          '(',
          ')',
          '"',
          '\\',
          ',',
          ';',
          ':',
          ' ',
          '\t',
          '[',
          ']',
          '=?utf-8?q?',
          '=40',
          '?=',
          'ü',
          'а',
          'xn--',
          '-',
          '1',
        ),
      },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
    ),
    { maxLength: 25 },
  )
  .map((parts) => parts.join(''));
const wireish = fc
  .array(fc.constantFrom('\r', '\n', '\r\n', '\0', '.', 'a', ':', ' ', 'Bcc', 'To', 'X-Postern-A', '\xe4'), {
    maxLength: 40,
  })
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));

describe('addresses', () => {
  test('what is accepted is canonical: reading it again changes nothing, and no control character is in it', () => {
    fc.assert(
      fc.property(fc.oneof(mailish, fc.emailAddress()), (text) => {
        const parsed = parseAddress(text, { smtputf8: true });
        if (!parsed.ok) return;
        expect(parseAddress(parsed.address, { smtputf8: true })).toEqual(parsed);
        expect(parsed.address).toBe(`${parsed.local}@${parsed.domain}`);
        expect(parsed.address).not.toMatch(CONTROL);
        expect(parsed.domain).toMatch(/^[a-z0-9.-]+$/);
        expect(parsed.address.split('@')).toHaveLength(2);
      }),
      RUNS,
    );
  });

  test('most of what the RFC calls an address is accepted', () => {
    const atoms = fc.stringMatching(/^[A-Za-z0-9_+-]{1,12}(\.[A-Za-z0-9_+-]{1,12}){0,2}$/);
    const domain = fc.stringMatching(/^[A-Za-z][A-Za-z0-9]{0,10}(\.[A-Za-z][A-Za-z0-9]{0,10}){1,3}$/);
    fc.assert(
      fc.property(atoms, domain, (local, name) => {
        expect(parseAddress(`${local}@${name}`)).toMatchObject({
          ok: true,
          address: `${local}@${name.toLowerCase()}`,
        });
      }),
      RUNS,
    );
  });

  test('a list yields canonical addresses and names on one line, whatever it holds', () => {
    fc.assert(
      fc.property(mailish, (text) => {
        for (const { address, name } of parseAddressList(text).addresses) {
          expect(parseAddress(address, { smtputf8: true })).toMatchObject({ ok: true, address });
          expect(name).not.toMatch(CONTROL);
        }
      }),
      RUNS,
    );
  });
});

describe('headers', () => {
  test('any bytes have facts, and the facts are JSON that PostgreSQL stores', () => {
    fc.assert(
      fc.property(wireish, mailish, (raw, text) => {
        const message = Buffer.concat([
          Buffer.from(`From: ${text}\r\nSubject: ${text}\r\nX-Postern-A: ${text}\r\n`),
          raw,
        ]);
        const facts = readFacts(message, { hostname: 'h.example' });
        const json = JSON.stringify(facts);
        expect(JSON.parse(json)).toEqual(facts);
        expect(json).not.toMatch(/\\u0000|\\ud[89a-f]/i);
      }),
      RUNS,
    );
  });

  test('fields lie one behind the other and an edit that removes nothing changes nothing', () => {
    fc.assert(
      fc.property(wireish, (raw) => {
        const { fields, text, bodyStart } = parseHeaders(raw);
        let end = 0;
        for (const field of fields) {
          expect(field.start).toBeGreaterThanOrEqual(end);
          expect(field.valueStart).toBeLessThanOrEqual(field.end);
          end = field.end;
        }
        expect(end).toBeLessThanOrEqual(text.length);
        expect(bodyStart).toBeGreaterThanOrEqual(text.length);
        expect(prepare(raw, {})).toEqual(raw);
      }),
      RUNS,
    );
  });

  test('after the edit no Bcc and no control field can be found', () => {
    fc.assert(
      fc.property(wireish, (raw) => {
        const edited = prepare(raw, { removeBcc: true, removeControl: true });
        const names = parseHeaders(edited).fields.map(({ name }) => name);
        expect(parseHeaders(raw).faults.length === 0 && names.includes('bcc')).toBe(false);
        expect(
          parseHeaders(raw).faults.length === 0 && names.some((name) => name.startsWith('x-postern-')),
        ).toBe(false);
      }),
      RUNS,
    );
  });

  test('encoded words never throw', () => {
    fc.assert(
      fc.property(mailish, (text) => typeof decodeWords(text) === 'string'),
      RUNS,
    );
  });
});

describe('line endings', () => {
  test('the check says what a plain reading says, wherever it is cut', () => {
    fc.assert(
      fc.property(wireish, fc.array(fc.nat(40), { maxLength: 6 }), (raw, cuts) => {
        const check = new LineEndingCheck();
        const places = [0, ...cuts.map((cut) => Math.min(cut, raw.length)).sort((a, b) => a - b), raw.length];
        for (let i = 1; i < places.length; i++) check.push(raw.subarray(places[i - 1], places[i]));
        const text = raw.toString('latin1');
        expect(check.result()).toMatchObject({
          bareCr: /\r(?!\n)/.test(text),
          bareLf: /(?<!\r)\n/.test(text),
          nul: text.includes('\0'),
          longestLine: Math.max(...text.split(/\r?\n/).map((line) => line.length)),
        });
      }),
      RUNS,
    );
  });

  test('S-13 what is normalised has no bare CR or LF, and normalising again changes nothing', () => {
    fc.assert(
      fc.property(wireish, (raw) => {
        const once = normalise(raw);
        expect(checkLineEndings(once)).toMatchObject({ bareCr: false, bareLf: false });
        expect(normalise(once)).toBe(once);
      }),
      RUNS,
    );
  });
});

test('two envelopes share a digest only when they are the same', () => {
  const envelope = fc.record({
    reversePath: fc.string({ maxLength: 4 }),
    forwardPaths: fc.array(fc.string({ maxLength: 4 }), { maxLength: 4 }),
  });
  const contentSha256 = Buffer.alloc(32);
  const same = (a: readonly string[], b: readonly string[]) =>
    new Set([...a, ...b]).size === new Set(a).size && new Set(a).size === new Set(b).size;
  fc.assert(
    fc.property(envelope, envelope, (a, b) => {
      const equal = a.reversePath === b.reversePath && same(a.forwardPaths, b.forwardPaths);
      expect(messageDigest({ ...a, contentSha256 }) === messageDigest({ ...b, contentSha256 })).toBe(equal);
    }),
    RUNS,
  );
});

test('R-28 a next hop cannot make a DSN malformed', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), mailish, (response, words) => {
      const reply = parseNextHopReply(response);
      expect(reply.text).not.toMatch(CONTROL);
      const dsn = composeDsn({
        kind: 'failed',
        reportingMta: 'mx.ours.example',
        to: 'a@x.example',
        from: 'postmaster@ours.example',
        arrivalDate: new Date(0),
        now: new Date(0),
        id: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
        original: null,
        originalMessageId: words,
        envelopeId: words,
        recipients: [
          {
            address: 'b@y.example',
            action: 'failed',
            status: '5.0.0',
            diagnostic: { type: 'smtp', reply },
            remoteMta: words,
            reason: words,
          },
        ],
      });
      expect(checkLineEndings(dsn)).toMatchObject({ bareCr: false, bareLf: false, nul: false });
      expect(dsn.toString().split('--=_postern_01ARZ3NDEKTSV4RRFFQ69G5FAV')).toHaveLength(4);
      expect(parseHeaders(dsn).faults).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});
