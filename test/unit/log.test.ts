import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { clean, createLog } from '../../core/runtime/log.ts';

function lines(write: (log: ReturnType<typeof createLog>) => void): string[] {
  const written: string[] = [];
  write(createLog({ level: 'info', room: 'gateway', destination: { write: (line) => written.push(line) } }));
  return written;
}

const HOSTILE =
  'x\r\n{"level":"info","msg":"all is well"}\u001b[2J\u2028\u2029\u202e\u0000\u0085\u200b\ud800';
const BREAKS = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/;

describe('G-01: hostile text is one harmless line', () => {
  test('in the message, in fields, in nested fields, in names, in bound fields and in errors', () => {
    const written = lines((log) => {
      log.info(HOSTILE);
      log.info({ greeting: HOSTILE, next: { reply: [HOSTILE] } }, 'session');
      log.info({ next: { [HOSTILE]: 1 } }, 'names');
      log.child({ peer: HOSTILE }).info('bound');
      log.error({ err: new Error(HOSTILE, { cause: new Error(HOSTILE) }) }, 'failed');
    });
    expect(written).toHaveLength(5);
    for (const line of written) {
      expect(line.endsWith('\n')).toBe(true);
      expect(line.slice(0, -1)).not.toMatch(BREAKS);
      // escaped is not enough: what shows the log may unescape it
      expect(JSON.stringify(JSON.parse(line))).not.toMatch(/\\u001b|\\r|\\n|\\u0000|\\ud800/);
      expect(JSON.parse(line)).toMatchObject({ room: 'gateway' });
    }
  });

  test('a megabyte is cut at a kilobyte', () => {
    const [line] = lines((log) => log.info({ subject: 'a'.repeat(1_000_000) }, 'b'.repeat(1_000_000)));
    expect(line!.length).toBeLessThan(2500);
  });

  test('clean leaves no character that breaks a line, whatever comes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 50 }), (text, max) => {
        const line = clean(text, max);
        expect(line.length).toBeLessThanOrEqual(max);
        expect(line).not.toMatch(BREAKS);
        expect(line.isWellFormed()).toBe(true);
      }),
    );
  });

  test('clean leaves ordinary words of any script alone', () => {
    for (const text of ['Grüße, Ana', '日本語', 'שלום', '👍 250 2.0.0 Ok']) expect(clean(text)).toBe(text);
  });
});

describe('secrets', () => {
  test('are not written, at the top or one level down', () => {
    const written = lines((log) => {
      log.info({ password: 'hunter2', login: { token: 'hunter2', authorization: 'hunter2' } }, 'login');
    });
    expect(written.join()).not.toContain('hunter2');
  });

  test('that hang on an error are not written', () => {
    const err = Object.assign(new Error('failed'), {
      code: '23505',
      detail: 'hunter2',
      config: { x: 'hunter2' },
    });
    const [line] = lines((log) => log.error({ err }, 'query'));
    expect(line).not.toContain('hunter2');
    expect(JSON.parse(line!).err).toMatchObject({ message: 'failed', code: '23505' });
  });

  test('bytes are not written', () => {
    const [line] = lines((log) => log.info({ raw: Buffer.from('hunter2') }, 'message'));
    expect(line).not.toContain('hunter2');
    expect(line).not.toContain([...Buffer.from('hunter2')].join(','));
  });
});
