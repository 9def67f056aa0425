import { describe, expect, test } from 'vitest';
import { prepare } from '../../core/mail/prepare.ts';
import { mailDate, receivedField, type Trace } from '../../core/mail/trace.ts';

const raw = Buffer.from(
  'From: a@x.example\r\nBCC: v@x.example,\r\n\tw@x.example\r\nX-Postern-Tags: a\r\n b\r\nsubject:  odd   spacing \r\n' +
    'Bcc : z@x.example\r\nResent-Bcc: y@x.example\r\nX-Posternal: stays\r\n\r\nBcc: in the body\r\n',
);

test('P-18 Bcc and control fields go with their continuation lines, all else stays byte for byte', () => {
  const edited = prepare(raw, { received: 'Received: x\r\n', removeBcc: true, removeControl: true });
  expect(edited.toString()).toBe(
    'Received: x\r\nFrom: a@x.example\r\nsubject:  odd   spacing \r\nX-Posternal: stays\r\n\r\nBcc: in the body\r\n',
  );
});

test('nothing asked is nothing changed', () => {
  expect(prepare(raw, {})).toEqual(raw);
});

test('what is missing is added on top', () => {
  const edited = prepare(Buffer.from('\r\nbody\r\n'), {
    received: 'Received: x\r\n',
    addMessageId: '<1@x.example>',
    addDate: new Date(0),
  });
  expect(edited.toString()).toBe(
    'Received: x\r\nMessage-ID: <1@x.example>\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n\r\nbody\r\n',
  );
});

const trace: Trace = {
  from: { ehlo: 'client.example', address: '192.0.2.1' },
  by: 'mx.ours.example',
  with: 'ESMTPSA',
  id: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
  for: 'b@y.example',
  date: new Date(0),
  tls: { version: 'TLSv1.3', cipher: 'TLS_AES_256_GCM_SHA384' },
};

test('Received says who handed us what, and when', () => {
  expect(receivedField(trace)).toBe(
    'Received: from client.example ([192.0.2.1])\r\n\tby mx.ours.example with ESMTPSA id 01ARZ3NDEKTSV4RRFFQ69G5FAV\r\n' +
      '\t(TLSv1.3 cipher TLS_AES_256_GCM_SHA384)\r\n\tfor <b@y.example>;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n',
  );
});

describe('C-11 whatever EHLO said, Received is one field', () => {
  test.each([
    ['[127.0.0.1]', '192.0.2.1', 'from [127.0.0.1] ([192.0.2.1])'],
    ['localhost', '::ffff:192.0.2.1', 'from localhost ([192.0.2.1])'],
    ['client.example', '2001:db8::1', 'from client.example ([IPv6:2001:db8::1])'],
    [';rm -rf', '192.0.2.1', 'from [192.0.2.1] (EHLO ?rm?-rf) ([192.0.2.1])'],
    ['x\r\nBcc: v@evil.example', '192.0.2.1', 'from [192.0.2.1] (EHLO x??Bcc:?v?evil.example) ([192.0.2.1])'],
    ['a) by mx.ours.example (', '192.0.2.1', 'from [192.0.2.1] (EHLO a??by?mx.ours.example??) ([192.0.2.1])'],
    ['x'.repeat(300), '192.0.2.1', `from [192.0.2.1] (EHLO ${'x'.repeat(64)}) ([192.0.2.1])`],
    ['büro', '192.0.2.1', 'from xn--bro-hoa ([192.0.2.1])'],
    ['', '192.0.2.1', 'from [192.0.2.1] ([192.0.2.1])'],
  ])('%j', (ehlo, address, start) => {
    const lines = receivedField({ ...trace, from: { ehlo, address } }).split('\r\n');
    expect(lines[0]).toBe(`Received: ${start}`);
    expect(lines.slice(1, -1).every((line) => line.startsWith('\t'))).toBe(true);
  });
});

test('a recipient that is not ASCII is only named under SMTPUTF8 (RFC 6531 §3.7.3)', () => {
  expect(receivedField({ ...trace, for: 'ü@y.example' })).not.toContain('for <');
  expect(receivedField({ ...trace, for: 'ü@y.example', with: 'UTF8SMTPS' })).toContain('for <ü@y.example>');
});

test('dates are in UTC', () => {
  expect(mailDate(new Date('2024-02-29T23:59:59+02:00'))).toBe('Thu, 29 Feb 2024 21:59:59 +0000');
});
