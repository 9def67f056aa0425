import { describe, expect, test } from 'vitest';
import { facts, jsonText, quoted, table, when } from '../../cli/output.ts';
import { portFailure } from '../../cli/port-failure.ts';
import { reachable, reachOf, urlOf } from '../../cli/settings.ts';
import { sh, welcome } from '../../cli/welcome.ts';
import { loadConfig } from '../../core/runtime/config.ts';

describe('what a terminal is shown', () => {
  test('is one clean line a row, whatever a subject holds', () => {
    const subject = 'Invoice\r\n\u001b[2J\u202Egpj.exe\u0007';
    const [, row = ''] = table(['id', 'subject'], [['1', subject]], '').split('\n');
    expect(row).toBe('1   Invoice\ufffd\ufffd\ufffd[2J\ufffdgpj.exe\ufffd');
    expect(facts([['subject', subject]])).not.toMatch(/[\r\u001b\u202e\u0007]/);
    expect(quoted(`a\n${subject}`)).not.toMatch(/[\r\u001b\u202e\u0007]/);
  });

  test('marks every line of a mail, so that none passes for a line of ours', () => {
    expect(quoted('approved\nit is sent')).toBe('  | approved\n  | it is sent');
    expect(quoted('x\n'.repeat(100)).split('\n').at(-1)).toBe('  | … 61 more lines');
  });

  test('is JSON that says the same and moves no cursor', () => {
    const value = { subject: 'a\u009b2J\u202egpj.exe\u2028\u200b\u007f', emoji: '👩‍💻 ok' };
    const text = jsonText(value);
    expect(text).not.toMatch(/[\u007f-\u009f\u200b\u2028\u202e]/);
    expect(JSON.parse(text)).toEqual(value);
  });

  test('says in words that a list is empty', () => {
    expect(table(['id'], [], 'nothing is held')).toBe('nothing is held');
  });

  test('leaves out facts that are not there, and shortens what is long', () => {
    expect(
      facts([
        ['a', 1],
        ['b', null],
        ['long name', 'x'],
      ]),
    ).toBe('a          1\nlong name  x');
    expect(table(['s'], [['x'.repeat(500)]], '').split('\n')[1]).toHaveLength(60);
  });

  test('has times in UTC to the second', () => {
    expect(when('2026-11-21T07:40:12.345Z')).toBe('2026-11-21 07:40:12Z');
    expect(when(null)).toBeUndefined();
    expect(when('yesterday')).toBeUndefined();
  });
});

test.each([
  ['plain-1.2:3', 'plain-1.2:3'],
  ['with space', "'with space'"],
  ["it's", `'it'\\''s'`],
  ['$(reboot)', "'$(reboot)'"],
  ['', "''"],
])('a word is quoted for the shell: %s', (word, quotedWord) => {
  expect(sh(word)).toBe(quotedWord);
});

describe('a welcome', () => {
  const quickstart = {
    submission: { host: '::1', port: 1, tls_port: 2, username: 'u@x.test', password: 'p w', ca_file: null },
    mx: { host: '127.0.0.1', port: 3 },
    api: { url: 'http://127.0.0.1:4', admin_key: 'a', agent_key: 'b', reviewer_key: 'c' },
    mailbox: { id: 'M', address: 'u@x.test', oversight_mode: 'gated_send' },
    capture: { url: 'http://127.0.0.1:4/v1/capture' },
  };
  const facts = { quickstart, state: 'first' as const, made: [], dataDir: '/data', captured: true, env: {} };

  test('quotes what a shell would cut, and brackets an IPv6 address', () => {
    expect(welcome(facts)).toContain(`--url smtp://[::1]:1 --user 'u@x.test:p w'`);
  });

  test('does not promise that nothing leaves when a route leads outside', () => {
    expect(welcome(facts)).toContain('nothing reaches the internet');
    expect(welcome({ ...facts, captured: false })).not.toContain('nothing reaches the internet');
  });
});

describe('the key of a quickstart', () => {
  const env = { ...process.env };
  const options = { config: '/dev/null' };

  test('is not shown to another address than that of the quickstart', () => {
    process.env.POSTERN_DATA_DIR = '/nonexistent';
    delete process.env.POSTERN_API_KEY;
    try {
      expect(() => reachOf({ ...options, url: 'https://elsewhere.example' }, 'admin')).toThrow(
        'no key for https://elsewhere.example',
      );
    } finally {
      process.env = env;
    }
  });

  test('is not needed where address and key are given', () => {
    expect(reachOf({ url: 'https://mail.example.com/', key: 'k', config: '/no/such' }, 'admin')).toEqual({
      url: 'https://mail.example.com',
      key: 'k',
    });
  });

  test('goes to nothing that is no web address', () => {
    expect(() => reachOf({ url: 'mail.example.com', key: 'k' }, 'admin')).toThrow('is no address of an API');
  });
});

test('a listener on every interface is reached on the loopback one', () => {
  const config = (host: string) => loadConfig({ file: '/dev/null', env: { POSTERN_HTTP_HOST: host } });
  expect(urlOf(config('0.0.0.0'))).toBe('http://127.0.0.1:8080');
  expect(urlOf(config('::'))).toBe('http://[::1]:8080');
  expect(urlOf(config('10.0.0.1'))).toBe('http://10.0.0.1:8080');
  expect(reachable('mail.example.com')).toBe('mail.example.com');
});

describe('a port that cannot be had', () => {
  const config = loadConfig({ file: '/dev/null', env: { POSTERN_MX_PORT: '25' } });
  const listen = (code: string, port: number) =>
    Object.assign(new Error(code), { syscall: 'listen', code, port, address: '127.0.0.1' });

  test.each([
    [
      'EADDRINUSE',
      2587,
      'port 2587 on 127.0.0.1 (submission.port, POSTERN_SUBMISSION_PORT) is in use by another program',
    ],
    [
      'EADDRINUSE',
      8080,
      'port 8080 on 127.0.0.1 (http.port, POSTERN_HTTP_PORT) is in use by another program',
    ],
    ['EACCES', 25, 'port 25 on 127.0.0.1 (mx.port, POSTERN_MX_PORT) may not be opened by this user'],
  ])('is told with its setting: %s %i', (code, port, message) => {
    expect(portFailure(listen(code, port), config)?.message).toBe(message);
    expect(portFailure(new Error('wrapped', { cause: listen(code, port) }), config)?.message).toBe(message);
  });

  test('is not blamed for other errors', () => {
    expect(portFailure(new Error('no'), config)).toBeUndefined();
    expect(
      portFailure(Object.assign(new Error('x'), { code: 'EACCES', syscall: 'open' }), config),
    ).toBeUndefined();
  });
});
