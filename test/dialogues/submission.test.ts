import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dialogue } from '../support/dialogue.ts';
import { PASSWORD, type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let port: number;
let tlsPort: number;

beforeAll(async () => {
  gateway = await testGateway({ limits: { auth_failures_per_address_minute: 1000 } });
  port = gateway.ports.submission;
  tlsPort = gateway.ports.submissionTls;
  await gateway.login('agent', await gateway.mailbox('agent@ours.example'));
  await gateway.login('other', await gateway.mailbox('other@ours.example'));
  await gateway.login('reader', await gateway.mailbox('reader@ours.example', 'read_only'));
});
afterAll(() => gateway?.close());
beforeEach(async () => {
  await gateway.runtime.database.pool.query('delete from messages');
});

const LOGIN = `
  S: 220
  C: EHLO client.example
  S: 250
  STARTTLS
  C: EHLO client.example
  S: 250-AUTH PLAIN LOGIN
  C64: agent ${PASSWORD}
  S: 235 2.7.0`;

describe('a program that logs in', () => {
  test('sends mail in the name of its mailbox', async () => {
    await dialogue(
      port,
      `${LOGIN}
       C: MAIL FROM:<agent@ours.example> SIZE=200 BODY=8BITMIME
       S: 250 2.1.0
       C: RCPT TO:<ana@remote.example>
       S: 250 2.1.5
       C: RCPT TO:<bob@REMOTE.example>
       S: 250 2.1.5
       C: DATA
       S: 354
       C: From: Agent <agent@ours.example>
       C: Bcc: hidden@remote.example
       C: Subject: Report
       C: X-Postern-Tags: run=42, nightly
       C: X-Postern-Agent: reporter
       C:
       C: ..a line with a dot
       C: .
       S: 250 2.6.0
       C: QUIT
       S: 221`,
    );
    const [message] = await gateway.messages();
    expect(message).toMatchObject({
      source: 'submission',
      direction: 'outbound',
      forwardPaths: ['ana@remote.example', 'bob@remote.example'],
      tags: { run: '42', nightly: 'true' },
      agent: 'reporter',
      body8bit: true,
    });
    const text = message!.bytes.toString();
    expect(text).toMatch(/with ESMTPSA id/);
    expect(text).toMatch(/^Message-ID: <.+@gateway\.example>\r$/m);
    expect(text).toMatch(/^Date: /m);
    expect(text).not.toMatch(/bcc|x-postern/i);
    expect(text).toContain('\r\n\r\n.a line with a dot\r\n');
  });

  test('may use TLS from the first byte', async () => {
    await dialogue(
      tlsPort,
      `S: 220
       C: EHLO client.example
       S: 250
       C: AUTH LOGIN
       S: 334 VXNlcm5hbWU6
       C: ${Buffer.from('agent').toString('base64')}
       S: 334 UGFzc3dvcmQ6
       C: ${Buffer.from(PASSWORD).toString('base64')}
       S: 235 2.7.0
       C: QUIT
       S: 221`,
      { tls: true },
    );
  });
});
