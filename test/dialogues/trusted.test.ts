import { afterAll, beforeAll, expect, test } from 'vitest';
import { dialogue } from '../support/dialogue.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let port: number;

beforeAll(async () => {
  gateway = await testGateway({
    trusted: {
      enabled: true,
      port: 0,
      networks: [
        { name: 'local', cidrs: ['127.0.0.1'], mailbox: 'printer@ours.example', senders: ['*@ours.example'] },
      ],
    },
  });
  port = gateway.ports.trusted;
  await gateway.mailbox('printer@ours.example');
});
afterAll(() => gateway?.close());

test('a client of a trusted network sends without a login', async () => {
  await dialogue(
    port,
    `S: 220
     C: HELO printer
     S: 250 gateway.example
     C: MAIL FROM:<scan@ours.example>
     S: 250
     C: RCPT TO:<ana@remote.example>
     S: 250
     C: DATA
     S: 354
     C: From: scan@ours.example
     C:
     C: paper is out
     C: .
     S: 250 2.6.0
     C: QUIT
     S: 221`,
  );
  const [message] = await gateway.messages();
  expect(message).toMatchObject({ source: 'trusted', mailbox: 'printer@ours.example' });
  expect(message!.bytes.toString()).toContain('with SMTP id');
});
