import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dialogue } from '../support/dialogue.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let port: number;

beforeAll(async () => {
  gateway = await testGateway({ mx: { port: 0 } });
  port = gateway.ports.mx;
  await gateway.mailbox('bob@ours.example');
  await gateway.mailbox('eve@ours.example');
});
afterAll(() => gateway?.close());
beforeEach(async () => {
  await gateway.runtime.database.pool.query('delete from messages');
});

describe('mail for a mailbox that exists', () => {
  test('is taken once it is committed, and 250 names its id', async () => {
    const heard = await dialogue(
      port,
      `S: 220 gateway.example ESMTP
       C: EHLO client.example
       S: 250-gateway.example
       S: 250-PIPELINING
       S: 250-STARTTLS
       S: 250-ENHANCEDSTATUSCODES
       S: 250 SMTPUTF8
       C: MAIL FROM:<ana@remote.example>
       S: 250 2.1.0
       C: RCPT TO:<Bob@OURS.example>
       S: 250 2.1.5
       C: DATA
       S: 354
       C: From: ana@remote.example
       C: Subject: Hello
       C:
       C: Hi Bob
       C: .
       S: 250 2.6.0 Queued as
       C: QUIT
       S: 221 2.0.0
       S: closed`,
    );
    const [message, ...others] = await gateway.messages();
    expect(others).toEqual([]);
    expect(heard.some((line) => line === `250 2.6.0 Queued as ${message!.id}`)).toBe(true);
    expect(message).toMatchObject({
      direction: 'inbound',
      source: 'mx',
      state: 'received',
      mailbox: 'bob@ours.example',
      reversePath: 'ana@remote.example',
      forwardPaths: ['Bob@ours.example'],
      subject: 'Hello',
    });
    const text = message!.bytes.toString('latin1');
    expect(text).toMatch(
      /^Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby gateway\.example with ESMTP/,
    );
    expect(text).toContain(`id ${message!.id}`);
    expect(text.endsWith('From: ana@remote.example\r\nSubject: Hello\r\n\r\nHi Bob\r\n')).toBe(true);
    expect(heard.some((line) => line.includes('AUTH'))).toBe(false);
  });
});
