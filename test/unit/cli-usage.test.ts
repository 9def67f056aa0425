import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { run } from '../../cli/main.ts';

let stdout = '';
let stderr = '';
beforeEach(() => {
  stdout = '';
  stderr = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    stdout += text;
    return true;
  });
  vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
    stderr += text;
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

describe('what is asked for wrongly', () => {
  test.for([
    [['hold', 'list'], /Did you mean held\?/],
    [['held', 'lst'], /Did you mean list\?/],
    [['held'], /Usage: postern held/],
    [['held', 'show'], /missing required argument 'id'/],
    [['held', 'show', 'x', '--colour'], /unknown option '--colour'/],
    [['held', 'show', 'nonsense', '--url', 'http://localhost:1', '--key', 'k'], /is no id/],
    [['held', 'reject', 'latest'], /a rejection needs a reason/],
    [['mailbox', 'set-mode', 'agent@postern.test', 'gated_sned'], /did you mean gated_send\?/],
    [['mailbox', 'add', 'no address'], /is no address/],
    [['key', 'create', 'x', '--scopes', 'raed'], /did you mean read\?/],
    [['key', 'create', 'x', '--scopes', 'send,oversight'], /who composes does not approve/],
    [['key', 'create', 'x', '--user', 'rita', '--owner', 'ana'], /nobody answers for a person/],
    [['serve', 'gatewy'], /did you mean gateway\?/],
    [['serve', 'api', '--quickstart'], /needs all rooms/],
    [['config', 'print'], /secrets are never printed/],
    [
      ['audit', 'list', '--limit', 'many', '--url', 'http://localhost:1', '--key', 'k'],
      /expected a whole number/,
    ],
    [['queue', 'settle', 'latest', 'lost'], /expected one of sent, failed, retry/],
    [['toString'], /unknown command/],
  ] as const)('is exit code 2 and says what was expected: %s', async ([words, expected]) => {
    expect(await run([...words])).toBe(2);
    expect([stdout, stderr]).toEqual(['', expect.stringMatching(expected)]);

    stderr = '';
    expect(await run([...words, '--json'])).toBe(2);
    expect(stderr).toBe('');
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'usage', message: expect.any(String) } });
  });

  test('every fault of the configuration is told at once', async () => {
    vi.stubEnv('POSTERN_MX_PORT', 'x');
    vi.stubEnv('POSTERN_SUBMISION_PORT', '1');
    expect(await run(['config', 'check', '--config', '/dev/null'])).toBe(2);
    expect(stderr).toContain('POSTERN_MX_PORT');
    expect(stderr).toContain('did you mean POSTERN_SUBMISSION_PORT?');
  });
});

test('help is no error, and names every command', async () => {
  expect(await run(['--help'])).toBe(0);
  for (const name of 'serve held queue capture audit mailbox key login send-test sink migrate config doctor version'.split(
    ' ',
  ))
    expect(stdout).toMatch(new RegExp(`^  ${name}\\b`, 'm'));
  expect(await run(['--version'])).toBe(0);
});
