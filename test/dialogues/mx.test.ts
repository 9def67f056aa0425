import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { dialogue } from '../support/dialogue.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let port: number;

beforeAll(async () => {
  gateway = await testGateway();
  port = gateway.ports.mx;
  await gateway.mailbox('bob@ours.example');
  await gateway.mailbox('eve@ours.example');
  const closed = await gateway.mailbox('gone@ours.example');
  await gateway.runtime.database.pool.query('update mailboxes set is_active = false where id = $1', [closed]);
});
afterAll(() => gateway?.close());
beforeEach(async () => {
  await gateway.runtime.database.pool.query('delete from messages');
});

const HELLO = `
  S: 220
  C: EHLO client.example
  S: 250`;

describe('mail for a mailbox that exists', () => {
  test('is taken once it is committed, and 250 names its id', async () => {
    const heard = await dialogue(
      port,
      `S: 220 gateway.example ESMTP
       C: EHLO client.example
       S: 250-gateway.example
       S: 250-PIPELINING
       S: 250-SIZE 26214400
       S: 250-STARTTLS
       S: 250-ENHANCEDSTATUSCODES
       S: 250-8BITMIME
       S: 250-SMTPUTF8
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
    expect(heard).toContain(`250 2.6.0 Queued as ${message!.id}`);
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
      /^Received: from client\.example \(\[127\.0\.0\.1\]\)\r\n\tby gateway\.example with ESMTP id/,
    );
    expect(text).toContain(`id ${message!.id}`);
    expect(text.endsWith('From: ana@remote.example\r\nSubject: Hello\r\n\r\nHi Bob\r\n')).toBe(true);
  });

  test('is one message a mailbox, over one content', async () => {
    await dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<ana@remote.example>
       S: 250
       C: RCPT TO:<bob@ours.example>
       S: 250
       C: RCPT TO:<eve+lists@ours.example>
       S: 250
       C: RCPT TO:<eve@ours.example>
       S: 250
       C: RCPT TO:<eve@ours.example>
       S: 250
       C: DATA
       S: 354
       raw: From: ana@remote.example\\r\\n\\r\\nx\\r\\n.\\r\\n
       S: 250 2.6.0`,
    );
    const messages = await gateway.messages();
    expect(messages.map(({ mailbox, forwardPaths }) => ({ mailbox, forwardPaths }))).toEqual([
      { mailbox: 'bob@ours.example', forwardPaths: ['bob@ours.example'] },
      { mailbox: 'eve@ours.example', forwardPaths: ['eve+lists@ours.example', 'eve@ours.example'] },
    ]);
    expect(new Set(messages.map(({ contentId }) => contentId)).size).toBe(1);
  });

  test('R-25: a null reverse-path is taken as it is', async () => {
    await dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<>
       S: 250
       C: RCPT TO:<bob@ours.example>
       S: 250
       C: DATA
       S: 354
       raw: Subject: report\\r\\n\\r\\nx\\r\\n.\\r\\n
       S: 250`,
    );
    expect((await gateway.messages())[0]!.reversePath).toBe('');
  });

  test('H-08: what strangers claim in our name is taken off, Bcc and all else stays', async () => {
    const kept = 'Authentication-Results: other.example; spf=pass\r\nBcc: x@remote.example\r\nSubject: s\r\n';
    await dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<ana@remote.example>
       S: 250
       C: RCPT TO:<bob@ours.example>
       S: 250
       C: DATA
       S: 354
       C: Return-Path: <boss@ours.example>
       raw: Authentication-Results: gateway.example;\\r\\n dkim=pass\\r\\n
       C: X-Postern-Oversight: autonomous
       C: X-Postern-Nonsense: 1
       C: Authentication-Results: other.example; spf=pass
       C: Bcc: x@remote.example
       C: Subject: s
       C:
       C: .
       S: 250`,
    );
    const [message] = await gateway.messages();
    expect(message!.bytes.toString().split('+0000\r\n')[1]).toBe(`${kept}\r\n`);
    expect(message!.requestedMode).toBeNull();
    expect(message!.facts.control).toEqual([]);
  });
});

describe('R-01 to R-19, R-22: relaying is refused for everyone, this machine included', () => {
  const REFUSED: [string, string][] = [
    ['<v@other.example>', '550 5.7.1'],
    ['<"v@other.example">', '553 5.1.3'],
    ['<"v@other.example"@ours.example>', '553 5.1.3'],
    ['<v%other.example@ours.example>', '550 5.1.1'],
    ['<v%other.example@[127.0.0.1]>', '550 5.7.1'],
    ['<other.example!v>', '501 5.1.3'],
    ['<other.example!v@ours.example>', '550 5.1.1'],
    ['<@ours.example:v@other.example>', '550 5.7.1'],
    ['<@ours.example,@b.example:v@other.example>', '550 5.7.1'],
    ['<@ours.example:bob@ours.example>', '550 5.7.1'],
    ['<"v%other.example"@ours.example>', '553 5.1.3'],
    ['<bob@other.example@ours.example>', '501 5.1.3'],
    ['<v@[127.0.0.1]>', '550 5.7.1'],
    ['<bob@[192.0.2.1]>', '550 5.7.1'],
    ['<v@localhost>', '550 5.7.1'],
    ['<bob@ours.example.>', '501 5.1.3'],
    ['<v>', '501 5.1.3'],
    ['<bob>', '501 5.1.3'],
    ['<nobody@OURS.example>', '550 5.1.1'],
    ['<gone@ours.example>', '550 5.1.1'],
    ['<bob+@sub.ours.example>', '550 5.7.1'],
    ['<postmaster>', '550 5.7.1'],
    ['<>', '501 5.1.3'],
    ['bob@ours.example', '501 5.1.3'],
    ['<bob@ours.example', '501 5.1.3'],
    ['<"xclow3n@remote.example x"@ours.example>', '553 5.1.3'],
    ['<"a@evil.example> "@ours.example>', '501 5.5.4'],
    ['<bob@ours.example> NOTIFY=NEVER', '555 5.5.4'],
  ];
  const SENDERS = ['<ana@remote.example>', '<>', '<bob@ours.example>'];

  test.each(SENDERS)('from %s', async (sender) => {
    const halves = [REFUSED.slice(0, 15), REFUSED.slice(15)];
    for (const half of halves) {
      const lines = half.map(([path, reply]) => `C: RCPT TO:${path}\n S: ${reply}`).join('\n');
      await dialogue(port, `${HELLO}\n C: MAIL FROM:${sender}\n S: 250\n ${lines}\n C: DATA\n S: 503 5.5.1`);
    }
    expect(await gateway.messages()).toEqual([]);
  });

  test('a reverse-path that is an address literal is refused at MAIL', async () => {
    await dialogue(
      port,
      `${HELLO}\n C: MAIL FROM:<x@[127.0.0.1]>\n S: 550 5.7.1\n C: RCPT TO:<bob@ours.example>\n S: 503`,
    );
  });

  test('U-04: a login is not offered, and not taken', async () => {
    const heard = await dialogue(
      port,
      `${HELLO}
       C64: bob secret
       S: 502 5.5.1
       STARTTLS
       C: EHLO client.example
       S: 250
       C64: bob secret
       S: 502 5.5.1`,
    );
    expect(heard.join('\n')).not.toContain('AUTH');
  });
});

describe('C-18, C-21: addresses beyond ASCII', () => {
  const u = (text: string) => Buffer.from(text).toString('latin1');
  test('need SMTPUTF8 and become A-labels', async () => {
    await gateway.mailbox('max@xn--bcher-kva.example');
    await dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<ana@remote.example>
       S: 250
       C: RCPT TO:<${u('max@bücher.example')}>
       S: 553 5.6.7
       C: RCPT TO:<max@xn---bad.example>
       S: 501 5.1.2
       C: RSET
       S: 250
       C: MAIL FROM:<${u('añá@remote.example')}>
       S: 553 5.6.7
       C: MAIL FROM:<${u('añá@remote.example')}> SMTPUTF8
       S: 250
       C: RCPT TO:<${u('max@Bücher.example')}>
       S: 250
       C: RCPT TO:<max@XN--BCHER-KVA.example>
       S: 250
       C: DATA
       S: 354
       C: Subject: x
       C:
       C: .
       S: 250`,
    );
    const messages = await gateway.messages();
    expect(messages.map(({ forwardPaths, smtputf8 }) => ({ forwardPaths, smtputf8 }))).toEqual([
      { forwardPaths: ['max@xn--bcher-kva.example'], smtputf8: true },
    ]);
    expect(messages[0]!.bytes.toString()).toContain('with UTF8SMTP');
  });
});

describe('strangers who do not wait', () => {
  test('S-20: who sends content before our 354 is sent away', async () => {
    await dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<ana@remote.example>
       S: 250
       C: RCPT TO:<bob@ours.example>
       S: 250
       raw: DATA\\r\\nSubject: x\\r\\n\\r\\n.\\r\\n
       S: 554 5.5.0
       S: closed`,
    );
    expect(await gateway.messages()).toEqual([]);
  });

  test('S-20: who speaks before the greeting is sent away', async () => {
    await dialogue(port, 'raw: EHLO spam.example\\r\\n\nS: 554 5.5.0\nS: closed');
  });

  test('S-22: commands that PIPELINING allows are answered in order, behind the dot too', async () => {
    await dialogue(
      port,
      `${HELLO}
       raw: MAIL FROM:<a@remote.example>\\r\\nRCPT TO:<bob@ours.example>\\r\\nRCPT TO:<no@ours.example>\\r\\nDATA\\r\\n
       S: 250 2.1.0
       S: 250 2.1.5
       S: 550 5.1.1
       S: 354
       raw: A: 1\\r\\n\\r\\nx\\r\\n.\\r\\nMAIL FROM:<b@remote.example>\\r\\nRCPT TO:<eve@ours.example>\\r\\nDATA\\r\\n
       S: 250 2.6.0
       S: 250 2.1.0
       S: 250 2.1.5
       S: 354
       raw: B: 2\\r\\n\\r\\nx\\r\\n.\\r\\nQUIT\\r\\n
       S: 250 2.6.0
       S: 221`,
    );
    expect((await gateway.messages()).map(({ mailbox }) => mailbox)).toEqual([
      'bob@ours.example',
      'eve@ours.example',
    ]);
  });
});

describe('R-29: mail that goes round', () => {
  const rounds = (count: number, field: string) =>
    Array.from({ length: count }, () => `raw: ${field}\\r\\n`).join('\n');
  test.each([
    ['26 Received fields', rounds(26, 'Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000'), '554 5.4.6'],
    ['25 Received fields', rounds(25, 'Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000'), '250'],
    ['3 of our own', rounds(3, 'Received: from a\\r\\n by gateway.example with SMTP'), '554 5.4.6'],
    ['2 of our own', rounds(2, 'Received: from a\\r\\n by gateway.example with SMTP'), '250'],
  ])('%s', async (_name, fields, reply) => {
    await dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<ana@remote.example>
       S: 250
       C: RCPT TO:<bob@ours.example>
       S: 250
       C: DATA
       S: 354
       ${fields}
       raw: \\r\\n.\\r\\n
       S: ${reply}`,
    );
  });
});

describe('H-09: headers that are none', () => {
  test.each([
    ['no colon', 'Subject\\r\\n\\r\\nx', '554 5.6.0'],
    ['starts with space', ' x: y\\r\\n\\r\\nx', '554 5.6.0'],
    ['empty name', ': y\\r\\n\\r\\nx', '554 5.6.0'],
    ['a thousand and one', `${'A: b\\r\\n'.repeat(1001)}\\r\\nx`, '552 5.3.4'],
    ['too large', `${`A: ${'b'.repeat(1990)}\\r\\n`.repeat(140)}\\r\\nx`, '552 5.3.4'],
    ['8-bit without SMTPUTF8, as many send', 'Subject: \\xe4\\r\\n\\r\\nx', '250'],
    ['space before a colon, as some send', 'Subject : x\\r\\n\\r\\nx', '250'],
    ['two From', 'From: a@b.example\\r\\nFrom: c@d.example\\r\\n\\r\\nx', '250'],
  ])('%s', async (_name, content, reply) => {
    await dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<ana@remote.example>
       S: 250
       C: RCPT TO:<bob@ours.example>
       S: 250
       C: DATA
       S: 354
       raw: ${content}\\r\\n.\\r\\n
       S: ${reply}`,
    );
  });
});
