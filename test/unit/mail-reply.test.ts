import { describe, expect, test } from 'vitest';
import { outcomeOf, parseNextHopReply, statusOf } from '../../core/mail/next-hop.ts';
import { addressRefusal, format, REFUSALS, SmtpRefusal } from '../../core/mail/reply.ts';

test.each(Object.entries(REFUSALS))('%s is a refusal whose two codes agree', (_, reply) => {
  expect(reply.enhanced).toMatch(/^[45]\.\d{1,3}\.\d{1,3}$/);
  expect(reply.enhanced[0]).toBe(String(reply.code)[0]);
  expect(format(reply)).toMatch(/^[\x20-\x7e]{1,510}$/);
});

test('an error carries the answer it will become', () => {
  const cause = new Error('connection refused');
  const error = new SmtpRefusal(REFUSALS.storeUnavailable, { cause });
  expect(error.message).toBe('451 4.3.0 Storage not available, try again later');
  expect(error.cause).toBe(cause);
});

test('C-18 P-13 the sender has codes of its own (RFC 3463 §3.2)', () => {
  expect(addressRefusal('syntax', 'forwardPath')).toMatchObject({ code: 501, enhanced: '5.1.3' });
  expect(addressRefusal('syntax', 'reversePath')).toMatchObject({ code: 501, enhanced: '5.1.7' });
  expect(addressRefusal('domain', 'reversePath')).toMatchObject({ code: 501, enhanced: '5.1.8' });
  expect(addressRefusal('needsSmtputf8', 'reversePath')).toMatchObject({ code: 553, enhanced: '5.6.7' });
});

describe('a next hop may answer anything', () => {
  test.each([
    ['250 2.0.0 OK queued', { code: 250, enhanced: '2.0.0', text: 'OK queued' }],
    ['250', { code: 250, enhanced: null, text: '' }],
    ['451 Try later', { code: 451, enhanced: null, text: 'Try later' }],
    ['550-5.1.1 No such\r\n550 5.1.1 user', { code: 550, enhanced: '5.1.1', text: 'No such user' }],
    ['550-No such\n550 5.1.1 user', { code: 550, enhanced: '5.1.1', text: 'No such user' }],
    ['550 4.1.1 contradiction', { code: 550, enhanced: null, text: 'contradiction' }],
    ['550 No\r\nBcc: x@evil.example', { code: 550, enhanced: null, text: 'No Bcc: x@evil.example' }],
    ['550 \x1b[2J<script>\0\u2028\u202ex', { code: 550, enhanced: null, text: '[2J<script> x' }],
    ['2 50 split', { code: 0, enhanced: null, text: '2 50 split' }],
    ['SSH-2.0-OpenSSH', { code: 0, enhanced: null, text: 'SSH-2.0-OpenSSH' }],
    ['', { code: 0, enhanced: null, text: '' }],
  ])('R-28 Q-02 %j', (text, reply) => {
    expect(parseNextHopReply(text)).toEqual(reply);
  });

  test('the code of a client library counts when the text has none', () => {
    expect(parseNextHopReply({ code: 421, response: null })).toEqual({ code: 421, enhanced: null, text: '' });
    expect(parseNextHopReply({ code: 99, response: 'x' }).code).toBe(0);
  });

  test('R-28 a megabyte becomes one line of 1 kB', () => {
    const { text } = parseNextHopReply(`550-${'€uro '.repeat(200)}\r\n`.repeat(1000));
    expect(Buffer.byteLength(text)).toBeLessThanOrEqual(1024);
    expect(text).toMatch(/^€uro .*…$/);
  });

  test('garbage is no reason to give mail up', () => {
    expect(outcomeOf(parseNextHopReply('garbage'))).toBe('temporary');
    expect(outcomeOf(parseNextHopReply('354 go'))).toBe('temporary');
    expect(outcomeOf(parseNextHopReply('554 no'))).toBe('permanent');
    expect(statusOf(parseNextHopReply('554 no'))).toBe('5.0.0');
    expect(statusOf(parseNextHopReply('garbage'))).toBe('4.0.0');
  });
});
