import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dialogue } from '../support/dialogue.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let port: number;

beforeAll(async () => {
  gateway = await testGateway({
    trusted: {
      enabled: true,
      host: '0.0.0.0',
      networks: [
        {
          name: 'printers',
          cidrs: ['127.0.0.1'],
          mailbox: 'printer@ours.example',
          senders: ['*@ours.example'],
        },
        { name: 'closed', cidrs: ['127.0.0.2/32'], mailbox: 'reader@ours.example' },
        { name: 'missing', cidrs: ['127.0.0.3/32'], mailbox: 'nobody@ours.example' },
        { name: 'old', cidrs: ['127.0.0.4/32'], mailbox: 'printer@ours.example', normalise: true },
      ],
    },
  });
  port = gateway.ports.trusted;
  await gateway.mailbox('printer@ours.example');
  await gateway.mailbox('reader@ours.example', 'read_only');
});
afterAll(() => gateway?.close());
beforeEach(async () => {
  await gateway.runtime.database.pool.query('delete from messages');
});

const HELLO = 'S: 220\n C: HELO printer\n S: 250 gateway.example\n';
const MAIL = `${HELLO} C: MAIL FROM:<scan@ours.example>\n S: 250\n C: RCPT TO:<ana@remote.example>\n S: 250\n C: DATA\n S: 354\n`;

test('a client of a trusted network sends without a login', async () => {
  await dialogue(
    port,
    `${MAIL} C: From: scan@ours.example\n C:\n C: paper is out\n C: .\n S: 250 2.6.0\n C: QUIT\n S: 221`,
  );
  const [message] = await gateway.messages();
  expect(message).toMatchObject({ source: 'trusted', mailbox: 'printer@ours.example', composerId: null });
  expect(message!.bytes.toString()).toContain('with SMTP id');
});

test('control headers are taken off and steer nothing', async () => {
  await dialogue(
    port,
    `${MAIL} C: From: scan@ours.example\n C: X-Postern-Tags: a\n C: X-Postern-Send-At: x\n C:\n C: .\n S: 250`,
  );
  const [message] = await gateway.messages();
  expect(message).toMatchObject({ tags: {}, sendAt: null });
  expect(message!.bytes.toString()).not.toMatch(/x-postern/i);
});

describe('what a network may not', () => {
  test.each([
    ['MAIL FROM:<ana@remote.example>', '553 5.7.1'],
    ['MAIL FROM:<x@sub.ours.example>', '553 5.7.1'],
    ['MAIL FROM:<>', '250'],
  ])('%s', (line, reply) => dialogue(port, `${HELLO} C: ${line}\n S: ${reply}`).then(() => {}));

  test.each([
    ['From: ana@remote.example', '550 5.7.1'],
    ['From: scan@ours.example\\r\\nSender: ana@remote.example', '550 5.7.1'],
    ['Subject: x', '550 5.6.0'],
  ])('%s', (header, reply) =>
    dialogue(port, `${MAIL} raw: ${header}\\r\\n\\r\\n.\\r\\n\n S: ${reply}`).then(() => {}),
  );

  test('U-04: log in', () =>
    dialogue(port, 'S: 220\n C: EHLO a\n S: 250\n C64: a b\n S: 502 5.5.1').then(() => {}));
});

describe('clients by their address', () => {
  const from = (address: string, script: string) => dialogue(port, script, { localAddress: address });
  test('one outside every network is refused in place of the greeting', () =>
    from('127.0.0.9', 'S: 554 5.7.1\n S: closed').then(() => {}));
  test('one whose mailbox is read-only may not send', () =>
    from('127.0.0.2', `${HELLO} C: MAIL FROM:<reader@ours.example>\n S: 550 5.7.1`).then(() => {}));
  test('one whose mailbox does not exist may not send', () =>
    from('127.0.0.3', `${HELLO} C: MAIL FROM:<nobody@ours.example>\n S: 550 5.2.1`).then(() => {}));
  test('one that is old may send 8-bit headers and bare LF', () =>
    from(
      '127.0.0.4',
      `${MAIL.replace('scan@', 'printer@')} raw: From: printer@ours.example\\nSubject : \\xe4\\n\\nx\\n\\r\\n.\\r\\n\n S: 250`,
    ).then(() => {}));
});
