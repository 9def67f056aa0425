import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { NOBODY, requireScope } from '../../api/access/authentication.ts';
import { failureLimiter, networkOf } from '../../api/access/limiter.ts';
import { hostCheck } from '../../api/http/hosts.ts';
import { afterCursor, cursorOf } from '../../api/input/cursor.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { cell } from '../../api/views/csv.ts';
import { statusNamed, statusOf } from '../../api/views/statuses.ts';
import { newId } from '../../core/mail/id.ts';
import { STATES } from '../../core/mail/lifecycle.ts';
import { auditId, seqOf } from '../../core/store/audit.ts';
import { SCOPES } from '../../core/store/keys.ts';

describe('the registry', () => {
  test('holds each name and each route once', () => {
    const names = OPERATIONS.map(({ name }) => name);
    const routes = OPERATIONS.map(({ method, path }) => `${method} ${path}`);
    expect(new Set(names).size).toBe(names.length);
    expect(new Set(routes).size).toBe(routes.length);
  });

  /** What needs no scope that allows changes, though it is no GET, and why that is right. */
  const OPEN: Record<string, string> = {
    unsubscribe: 'its link is the right to it, and all it does is stop mail',
    decide_by_link: 'its link and a code that a person was mailed are the right to it',
    verify_identity: 'it changes nothing; what it checks is too long for a query',
    report_issue: 'a note to whoever runs this gateway, from anyone who has a key',
  };

  test('asks for more than read wherever something changes', () => {
    const weak = OPERATIONS.filter(({ method }) => method !== 'GET').filter(({ access }) =>
      [access].flat().some((scope) => ['read', 'none', 'any', 'oversight_read'].includes(scope)),
    );
    expect(weak.map(({ name }) => name).filter((name) => !Object.hasOwn(OPEN, name))).toEqual([]);
  });

  test('lets a scope imply no other, but admin all', () => {
    for (const one of OPERATIONS)
      for (const scope of SCOPES) {
        const named = [one.access].flat() as string[];
        const may =
          scope === 'admin' || named.includes(scope) || named.includes('any') || named.includes('none');
        const ask = () => requireScope({ ...NOBODY, key: { ...NOBODY.key, scopes: [scope] } }, one.access);
        if (may) expect(ask).not.toThrow();
        else
          expect(ask, `${one.name} by ${scope}`).toThrow(expect.objectContaining({ code: 'scope_missing' }));
      }
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
    http: {
      host: '127.0.0.1',
      port: 8080,
      trusted_proxies: [],
      public_url: 'https://Mail.example.com:8443/x',
    },
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
  const open = hostCheck({ http: { host: '0.0.0.0', port: 8080, trusted_proxies: [] }, hostname: 'mx' });
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

test('every state has a status, and a filter knows each by its name', () => {
  for (const state of STATES)
    for (const direction of ['inbound', 'outbound'] as const) {
      const status = statusOf({ state, direction, recipients: [] });
      expect(statusNamed(status)).toBe(status);
    }
  expect(statusNamed('pending_approval')).toBe('pending_send_approval');
  expect(statusNamed('constructor')).toBeUndefined();
  expect(statusNamed('delivered')).toBeUndefined();
});

test('inbound mail is shown as what became of it', () => {
  const mail = { state: 'available', direction: 'inbound', recipients: [] } as const;
  expect(statusOf({ ...mail, inboxStatus: null })).toBe('unread');
  expect(statusOf({ ...mail, inboxStatus: 'archived', spamVerdict: 'flagged' })).toBe('archived');
  expect(statusOf({ ...mail, spamVerdict: 'flagged' })).toBe('spam_flagged');
  expect(statusOf({ ...mail, state: 'held', spamVerdict: 'quarantined' })).toBe('spam_quarantined');
  expect(statusOf({ ...mail, state: 'held' })).toBe('pending_inbound_approval');
});

test('what policy refused has failed, what a reviewer rejected is rejected', () => {
  const mail = { state: 'rejected', direction: 'outbound', recipients: [] } as const;
  expect(statusOf({ ...mail, statusReason: 'content_refused' })).toBe('send_failed');
  expect(statusOf({ ...mail, statusReason: 'rejected: no' })).toBe('rejected');
});

test('mail that reached one of its recipients is shown as sent', () => {
  const recipients = [{ status: 'failed' }, { status: 'relayed' }];
  expect(statusOf({ state: 'failed', direction: 'outbound', recipients })).toBe('sent');
  expect(statusOf({ state: 'failed', direction: 'outbound', recipients: [{ status: 'failed' }] })).toBe(
    'send_failed',
  );
});
