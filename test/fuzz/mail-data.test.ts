import fc from 'fast-check';
import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { describe, expect, test } from 'vitest';
import { DotDecoder } from '../../core/mail/dot-stream.ts';

interface Result {
  content: string;
  rest: string;
}

/** RFC 5321 §4.1.1.4 and §4.5.2 as one reads them, on all of the bytes at once. */
function reference(wire: string): Result | undefined {
  const text = `\r\n${wire}`;
  const end = text.indexOf('\r\n.\r\n');
  if (end === -1) return undefined;
  const content = text.slice(0, end + 2).replaceAll('\r\n.', '\r\n');
  return { content: content.slice(2), rest: text.slice(end + 5) };
}

function viaDotDecoder(segments: Buffer[]): Result | undefined {
  const decoder = new DotDecoder();
  let content = '';
  for (const [i, segment] of segments.entries()) {
    const decoded = decoder.push(segment);
    content += decoded.content.toString('latin1');
    if (decoded.rest !== undefined) {
      return { content, rest: Buffer.concat([decoded.rest, ...segments.slice(i + 1)]).toString('latin1') };
    }
  }
  return undefined;
}

/** The parser of smtp-server, fed segment by segment; what it takes for commands is `rest`. */
function viaSmtpServer(segments: Buffer[]): Promise<Result> {
  return new Promise((resolve) => {
    const parser = new SMTPStream();
    const result = { content: '', rest: '' };
    parser.oncommand = (line: Buffer, done?: () => void) => {
      result.rest += `${line.toString('latin1')}\r\n`;
      done?.();
    };
    const data = parser.startDataMode();
    data.on('data', (chunk: Buffer) => {
      result.content += chunk.toString('latin1');
    });
    data.on('end', () => parser.continue());
    parser.on('finish', () => setImmediate(() => resolve(result)));
    for (const segment of segments) parser.write(segment);
    parser.end();
  });
}

function segmented(wire: string, cuts: number[]): Buffer[] {
  const bytes = Buffer.from(wire, 'latin1');
  const places = [...new Set([0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return places.slice(1).map((end, i) => bytes.subarray(places[i], end));
}

const cuts = fc.oneof(
  fc.array(fc.nat(60), { maxLength: 12 }),
  fc.constant(Array.from({ length: 200 }, (_, i) => i)),
);
const line = fc.array(fc.constantFrom('.', 'a', ' '), { maxLength: 5 }).map((parts) => parts.join(''));
const message = fc.array(line, { maxLength: 6 }).map((lines) => lines.map((text) => `${text}\r\n`).join(''));
const stuffed = (content: string) => `${content.replace(/^\./gm, '..')}.\r\n`;
const anyBytes = fc
  .array(fc.constantFrom('\r', '\n', '.', '\r\n', '.\r\n', '\r\n.', '\0', 'a'), { maxLength: 16 })
  .map((parts) => `${parts.join('')}\r\n.\r\nNOOP\r\n`);

describe('S-11 our decoder', () => {
  test('gives a message back as it was, wherever it is cut', () => {
    fc.assert(
      fc.property(message, cuts, (content, places) => {
        const wire = `${stuffed(content)}NOOP\r\n`;
        expect(viaDotDecoder(segmented(wire, places))).toEqual({ content, rest: 'NOOP\r\n' });
      }),
      { numRuns: 5000 },
    );
  });

  test('reads any bytes as the RFC does, wherever they are cut', () => {
    fc.assert(
      fc.property(anyBytes, cuts, (wire, places) => {
        expect(viaDotDecoder(segmented(wire, places))).toEqual(reference(wire));
      }),
      { numRuns: 20_000 },
    );
  });

  test('S-10 a first segment of two dots is a line of one dot', () => {
    const segments = ['..', '\r\nMAIL FROM:<evil@x>\r\n.\r\n'].map((text) => Buffer.from(text));
    expect(viaDotDecoder(segments)).toEqual({ content: '.\r\nMAIL FROM:<evil@x>\r\n', rest: '' });
  });

  test('a message of stuffed dots costs a few copies', () => {
    const decoder = new DotDecoder();
    const chunk = Buffer.from('..\r\n'.repeat(16_384));
    const started = performance.now();
    for (let i = 0; i < 100; i++) decoder.push(chunk);
    expect(performance.now() - started).toBeLessThan(3000);
  });
});

/** What we rely on while its parser stands before ours. An update that breaks this shows here. */
describe('S-11 the parser of smtp-server', () => {
  test('gives a message back as it was, wherever it is cut', async () => {
    await fc.assert(
      fc.asyncProperty(message, cuts, async (content, places) => {
        const wire = `${stuffed(content)}NOOP\r\n`;
        expect(await viaSmtpServer(segmented(wire, places))).toEqual({ content, rest: 'NOOP\r\n' });
      }),
      { numRuns: 2000 },
    );
  });

  test('S-01…S-08 ends where the RFC says, and leaves bare CR, bare LF and NUL for us to see', async () => {
    await fc.assert(
      fc.asyncProperty(anyBytes, cuts, async (wire, places) => {
        const read = await viaSmtpServer(segmented(wire, places));
        const expected = reference(wire)!;
        expect(read.rest.replace(/\r?\n/g, '')).toBe(expected.rest.replace(/\r?\n/g, ''));
        expect(/\r(?!\n)|(?<!\r)\n|\0/.test(read.content)).toBe(
          /\r(?!\n)|(?<!\r)\n|\0/.test(expected.content),
        );
      }),
      { numRuns: 5000 },
    );
  });
});
