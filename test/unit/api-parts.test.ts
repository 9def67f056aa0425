import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { cell } from '../../api/csv.ts';
import { afterCursor, cursorOf } from '../../api/cursor.ts';
import { hostCheck } from '../../api/hosts.ts';
import { failureLimiter, networkOf } from '../../api/limiter.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { filterOf, statusOf } from '../../api/statuses.ts';
import { newId } from '../../core/mail/id.ts';
import { STATES } from '../../core/mail/lifecycle.ts';
import { auditId, seqOf } from '../../core/store/audit.ts';

describe('the registry', () => {
  test('holds each name and each route once', () => {
    const names = OPERATIONS.map(({ name }) => name);
    const routes = OPERATIONS.map(({ method, path }) => `${method} ${path}`);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(routes).size).toBe(routes.length);
  });

  test('asks for more than read wherever something changes', () => {
    const changing = OPERATIONS.filter(({ method }) => method !== 'GET');
    expect(
      changing.filter(({ access }) =>
        [access].flat().some((scope) => ['read', 'none', 'any', 'oversight_read'].includes(scope)),
      ),
    ).toEqual([]);
  });
});

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:0:1::5', '2001:db8:0:1'],
  ['2001:DB8:0:1:aaaa:bbbb:cccc:dddd', '2001:db8:0:1'],
  ['::1', '0:0:0:0'],
  ['fe80::1%eth0', 'fe80:0:0:0'],
  ['2001:0db8::', '2001:db8:0:0'],
])('failures from %s are counted for %s', (address, network) => {
  expect(networkOf(address)).toBe(network);
});

test('an address that failed too often waits until the window ends, others do not', () => {
  const limiter = failureLimiter({ tries: 3, windowSeconds: 60 });
  for (const address of ['2001:db8::1', '2001:db8::2', '2001:db8::3']) limiter.failed(address, 1000);
  expect(limiter.blocked('2001:db8::4', 1000)).toBe(60);
  expect(limiter.blocked('2001:db8::4', 60_500)).toBe(1);
  expect(limiter.blocked('2001:db8::4', 61_001)).toBeUndefined();
  expect(limiter.blocked('192.0.2.1', 1000)).toBeUndefined();
});

test('only our own host names are answered', () => {
  const loopback = hostCheck({
    http: { host: '127.0.0.1', port: 8080, public_url: 'https://Mail.example.com:8443/x' },
    hostname: 'mx.example.com',
  });
  for (const host of ['localhost:8080', '[::1]:8080', '127.0.0.1', 'mail.example.com', 'mx.example.com.:80'])
    expect(`${host} ${loopback(host)}`).toBe(`${host} true`);
  for (const host of [
    undefined,
    '',
    'evil.example',
    '192.0.2.1',
    'localhost.evil.example',
    'xlocalhost',
    '127.0.0.1.evil.example',
  ])
    expect(`${host} ${loopback(host)}`).toBe(`${host} false`);
  const open = hostCheck({ http: { host: '0.0.0.0', port: 8080 }, hostname: 'mx' });
  expect(['192.0.2.1:8080', '[2001:db8::1]:8080', 'evil.example'].map(open)).toEqual([true, true, false]);
});

test.each([
  ['plain', 'plain'],
  ['=1+1', "'=1+1"],
  ['+49', "'+49"],
  ['-1', "'-1"],
  ['@cmd', "'@cmd"],
  [' =1+1', "' =1+1"],
  ['\n=1+1', `"'\n=1+1"`],
  ['＝1+1', "'＝1+1"], // full-width, which some spreadsheets read as the narrow one
  ['\tx', "'\tx"],
  ['\rx', `"'\rx"`],
  ['=a,"b"', `"'=a,""b"""`],
  [null, ''],
  [['a', 'b'], 'a b'],
])('%j is the cell %j', (value, text) => {
  expect(cell(value)).toBe(text);
});

test('an audit id is a ULID that leads back to its place in the log', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      fc.integer({ min: 0, max: 2 ** 47 }),
      (seq, at) => {
        const id = auditId({ seq, at: new Date(Math.min(at, 8.64e15)) });
        expect(id).toMatch(/^[0-7][0-9A-HJKMNP-TV-Z]{25}$/);
        expect(seqOf(id)).toBe(seq);
      },
    ),
  );
  for (const strange of ['', 'x', '7'.repeat(26), '0'.repeat(26), `${'0'.repeat(25)}!`])
    expect(seqOf(strange)).toBeUndefined();
});

test('a cursor leads back to its id, and nothing else is one', () => {
  const id = newId();
  expect(afterCursor(cursorOf(id))).toBe(id);
  expect(afterCursor(undefined)).toBeNull();
  for (const strange of ['x', id, cursorOf('x'), `${cursorOf(id)}AA`])
    expect(() => afterCursor(strange)).toThrow(/cursor/);
});

test('every state has a status, and every status leads back to it', () => {
  for (const state of STATES)
    for (const direction of ['inbound', 'outbound'] as const) {
      const status = statusOf({ state, direction, recipients: [] });
      expect(filterOf(status)?.states).toContain(state);
    }
  expect(filterOf('constructor')).toBeUndefined();
  expect(filterOf('delivered')).toBeUndefined();
});

test('mail that reached one of its recipients is shown as sent', () => {
  const recipients = [{ status: 'failed' }, { status: 'relayed' }];
  expect(statusOf({ state: 'failed', direction: 'outbound', recipients })).toBe('sent');
  expect(statusOf({ state: 'failed', direction: 'outbound', recipients: [{ status: 'failed' }] })).toBe(
    'send_failed',
  );
});
