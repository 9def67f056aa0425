import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { switchSending } from '../../core/store/brake.ts';
import { Client, dialogue } from '../support/dialogue.ts';
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

test('above the month’s quota a program is told to come later, and what comes in from outside is not counted', async () => {
  const limited = await testGateway({ limits: { monthly_sends: 1 } });
  try {
    await limited.login('agent', await limited.mailbox('agent@ours.example'));
    const letter = (from: string, to: string, reply: string) => `
      C: MAIL FROM:<${from}>
      S: 250
      C: RCPT TO:<${to}>
      S: 250
      C: DATA
      S: 354
      C: From: <${from}>
      C:
      C: .
      S: ${reply}`;
    const inward = letter('ana@remote.example', 'agent@ours.example', '250');
    await dialogue(limited.ports.mx, `S: 220\nC: EHLO a\nS: 250${inward}${inward}`);
    const outward = (reply: string) => letter('agent@ours.example', 'ana@remote.example', reply);
    await dialogue(limited.ports.submission, `${LOGIN}${outward('250')}${outward('452 4.7.1')}`);
  } finally {
    await limited.close();
  }
});

test('where sending is switched off, MAIL says so, until it is allowed again', async () => {
  const own = await testGateway();
  try {
    await own.login('agent', await own.mailbox('agent@ours.example'));
    const mail = (reply: string) => `${LOGIN}\nC: MAIL FROM:<agent@ours.example>\nS: ${reply}`;
    const db = own.runtime.database.pool;
    expect(await switchSending(db, { disabled: true, reason: null }, system('cli'))).toBe(true);
    await dialogue(own.ports.submission, mail('550 5.7.1 Sending is switched off'));
    expect(await switchSending(db, { disabled: false, reason: null }, system('cli'))).toBe(true);
    // a login is looked at anew each second
    await new Promise((go) => setTimeout(go, 1_100));
    await dialogue(own.ports.submission, mail('250'));
  } finally {
    await own.close();
  }
});

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

const MAIL = `${LOGIN}
  C: MAIL FROM:<agent@ours.example>
  S: 250
  C: RCPT TO:<ana@remote.example>
  S: 250
  C: DATA
  S: 354`;

describe('R-20: a login speaks for its mailbox and for nobody else', () => {
  test.each([
    ['<agent@ours.example>', '250'],
    ['<AGENT@Ours.Example>', '250'],
    ['<agent+bounce-7@ours.example>', '250'],
    ['<>', '250'],
    ['<other@ours.example>', '553 5.7.1'],
    ['<ana@remote.example>', '553 5.7.1'],
    ['<agent@remote.example>', '553 5.7.1'],
    ['<agent@ours.example> AUTH=<>', '250'],
  ])('MAIL FROM:%s', (path, reply) =>
    dialogue(port, `${LOGIN}\n C: MAIL FROM:${path}\n S: ${reply}`).then(() => {}),
  );

  test.each([
    ['its own', 'From: agent@ours.example', '250'],
    ['its own, in other letters', 'From: "Agent" <Agent@OURS.example>', '250'],
    [
      'R-21: its own under the name of another, which a reviewer sees',
      'From: "ceo@corp.example" <agent@ours.example>',
      '250',
    ],
    ['of another', 'From: other@ours.example', '550 5.7.1'],
    ['with a tag', 'From: agent+x@ours.example', '550 5.7.1'],
    ['none', 'Subject: x', '550 5.6.0'],
    ['two fields', 'From: agent@ours.example\\r\\nFrom: other@ours.example', '550 5.6.0'],
    ['two addresses', 'From: agent@ours.example, other@ours.example', '550 5.6.0'],
    ['a group', 'From: Us: agent@ours.example;', '550 5.6.0'],
    ['an encoded address', 'From: =?utf-8?q?agent=40ours.example?=', '550 5.6.0'],
    ['two readings', 'From: agent@ours.example <other@ours.example>', '550'],
    ['Sender of another', 'From: agent@ours.example\\r\\nSender: other@ours.example', '550 5.7.1'],
    ['Sender of its own', 'From: agent@ours.example\\r\\nSender: agent@ours.example', '250'],
    ['P-20: two To', 'From: agent@ours.example\\r\\nTo: a@b.example\\r\\nTo: c@d.example', '550 5.6.0'],
    ['P-20: a space before the colon', 'From: agent@ours.example\\r\\nTo : a@b.example', '554 5.6.0'],
    [
      'P-19: too many addresses',
      `From: agent@ours.example\\r\\nTo: ${'a@b.example,\\r\\n '.repeat(1001)}c@d.example`,
      '550 5.6.0',
    ],
    ['H-09: 8-bit without SMTPUTF8', 'From: agent@ours.example\\r\\nSubject: \\xc3\\xa4', '554 5.6.7'],
  ])('From: %s', async (_name, header, reply) => {
    await dialogue(port, `${MAIL}\n raw: ${header}\\r\\n\\r\\nx\\r\\n.\\r\\n\n S: ${reply}`);
    expect(await gateway.messages()).toHaveLength(reply === '250' ? 1 : 0);
  });

  test('a read-only mailbox sends nothing', () =>
    dialogue(
      port,
      `${LOGIN.replace('agent', 'reader')}\n C: MAIL FROM:<reader@ours.example>\n S: 550 5.7.1`,
    ).then(() => {}));
});

describe('control headers', () => {
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  const HEADER = 'raw: From: agent@ours.example\\r\\n';
  const send = (fields: string, body: string, reply: string) =>
    dialogue(port, `${MAIL}\n ${HEADER}\n ${fields}\n raw: \\r\\n${body}\\r\\n.\\r\\n\n S: ${reply}`);

  test.each([
    ['X-Postern-Oversight: gated_all', '250'],
    ['X-Postern-Oversight: autonomous', '250'],
    ['X-Postern-Oversight: read_only', '550 5.7.1'],
    ['X-Postern-Oversight: gated', '550 5.6.0'],
    ['X-Postern-Oversigth: gated_all', '550 5.6.0'],
    [`X-Postern-Send-At: ${soon}`, '250'],
    ['X-Postern-Send-At: 2020-01-01T00:00:00Z', '550 5.6.0'],
    ['X-Postern-Send-At: 9999-01-01T00:00:00Z', '550 5.6.0'],
    ['X-Postern-Send-At: tomorrow', '550 5.6.0'],
    ['X-Postern-Send-At: 2027-01-01T00:00:00+02:00', '550 5.6.0'],
    ['X-Postern-Tags: a=1,a=2', '550 5.6.0'],
    ['X-Postern-Tags: __proto__=1', '550 5.6.0'],
    ['X-Postern-Tags: run=1, constructor', '550 5.6.0'],
    ['X-Postern-Agent:', '550 5.6.0'],
    ['X-Postern-Idempotency-Key:', '550 5.6.0'],
  ])('%s', async (field, reply) => {
    await send(`C: ${field}`, 'x', reply);
    const messages = await gateway.messages();
    expect(messages).toHaveLength(reply === '250' ? 1 : 0);
    expect(messages[0]?.bytes.toString() ?? '').not.toMatch(/x-postern/i);
    if (field.includes('Send-At') && reply === '250') expect(messages[0]!.sendAt?.toISOString()).toBe(soon);
    if (field.includes('gated_all') && reply === '250') expect(messages[0]!.requestedMode).toBe('gated_all');
  });

  test('one that stands twice is refused', () =>
    send('C: X-Postern-Agent: a\n C: X-Postern-Agent: b', 'x', '550 5.6.0').then(() => {}));

  test('a repeated idempotency key sends once and answers with the first id', async () => {
    const first = await send('C: X-Postern-Idempotency-Key: order-1', 'x', '250');
    const again = await send('C: X-Postern-Idempotency-Key: order-1', 'x', '250');
    expect(again.at(-1)).toBe(first.at(-1));
    await send('C: X-Postern-Idempotency-Key: order-1', 'y', '550 5.6.0');
    await send('C: X-Postern-Idempotency-Key: order-2', 'y', '250');
    expect(await gateway.messages()).toHaveLength(2);
  });

  test('of five at the same time with one key, one is kept', async () => {
    const replies = await Promise.all(
      Array.from({ length: 5 }, () => send('C: X-Postern-Idempotency-Key: at-once', 'x', '250')),
    );
    expect(new Set(replies.map((heard) => heard.at(-1))).size).toBe(1);
    expect(await gateway.messages()).toHaveLength(1);
  });
});

describe('logging in', () => {
  const HELLO = 'S: 220\n C: EHLO client.example\n S: 250';
  const AFTER_TLS = `${HELLO}\n STARTTLS\n C: EHLO client.example\n S: 250`;

  test('T-05: before TLS nothing is taken, not even with credentials', async () => {
    const heard = await dialogue(
      port,
      `${HELLO}\n C64: agent ${PASSWORD}\n S: 538 5.7.11\n C: AUTH LOGIN\n S: 538\n C: MAIL FROM:<agent@ours.example>\n S: 530 5.7.0 STARTTLS`,
    );
    expect(heard.join('\n')).not.toContain('250-AUTH');
  });

  test('after TLS a login is still needed', () =>
    dialogue(port, `${AFTER_TLS}\n C: MAIL FROM:<agent@ours.example>\n S: 530 5.7.0 Authentication`).then(
      () => {},
    ));

  test.each([
    ['a wrong password', `C64: agent wrong`, '535 5.7.8'],
    ['an unknown name', `C64: nobody ${PASSWORD}`, '535 5.7.8'],
    ['U-05: a mechanism that needs plain secrets', 'C: AUTH CRAM-MD5', '504 5.5.4'],
    ['no mechanism', 'C: AUTH', '504 5.5.4'],
    ['U-04: cancelled', 'C: AUTH PLAIN\nS: 334\nC: *', '501 5.5.2'],
    ['LOGIN cancelled', 'C: AUTH LOGIN\nS: 334\nC: *', '501 5.5.2'],
    ['malformed', 'C: AUTH PLAIN eA==', '501 5.5.2'],
  ])('%s', (_name, attempt, reply) =>
    dialogue(port, `${AFTER_TLS}\n ${attempt}\n S: ${reply}`).then(() => {}),
  );

  test('U-04: not twice, and not within a transaction', () =>
    dialogue(port, `${LOGIN}\n C64: agent ${PASSWORD}\n S: 503 5.5.1\n C: AUTH LOGIN\n S: 503`).then(
      () => {},
    ));

  test('U-01: the third failure ends the session', () =>
    dialogue(
      port,
      `${AFTER_TLS}\n C64: agent a\n S: 535\n C64: agent b\n S: 535\n C64: agent c\n S: 421 4.7.0\n S: closed`,
    ).then(() => {}));

  test('U-01: so does the third exchange that breaks off, and nothing is heard after it', () =>
    dialogue(
      port,
      `${AFTER_TLS}\n C: AUTH PLAIN eA==\n S: 501\n C: AUTH LOGIN\n S: 334\n C: *\n S: 501\n C: AUTH PLAIN eA==\n S: 421 4.7.0\n S: closed`,
    ).then(() => {}));

  test('a login revoked in the middle of a session sends no more', async () => {
    const id = await gateway.login('leaver', await gateway.mailbox('leaver@ours.example'));
    const client = LOGIN.replace('agent', 'leaver');
    const session = dialogue(
      port,
      `${client}
       C: MAIL FROM:<leaver@ours.example>
       S: 250
       C: RSET
       S: 250
       wait: 1300
       C: MAIL FROM:<leaver@ours.example>
       S: 535 5.7.8`,
    );
    await new Promise((go) => setTimeout(go, 300));
    await gateway.runtime.database.pool.query(
      'update submission_logins set revoked_at = now() where id = $1',
      [id],
    );
    await session;
    await dialogue(port, `${AFTER_TLS}\n C64: leaver ${PASSWORD}\n S: 535`);
  });

  test('U-02: an unknown name costs what a wrong password costs', async () => {
    const times = { agent: 0, nobody: 0 };
    for (let i = 0; i < 8; i++)
      for (const name of ['agent', 'nobody'] as const) {
        const client = await Client.open(tlsPort, { tls: true });
        await client.expect(['220']);
        await client.act('C: EHLO x');
        await client.reply();
        const began = performance.now();
        await client.act(`C64: ${name} wrong-${i}`);
        await client.expect(['535']);
        if (i > 0) times[name] += performance.now() - began;
        client.end();
      }
    expect(times.nobody / times.agent).toBeGreaterThan(0.5);
    expect(times.nobody / times.agent).toBeLessThan(2);
  });
});

describe('TLS', () => {
  test('T-01: what was sent in clear behind STARTTLS is forgotten', async () => {
    const client = await Client.open(port);
    await client.expect(['220']);
    client.send('EHLO a\r\n');
    await client.reply();
    client.send('STARTTLS\r\nRSET\r\nMAIL FROM:<evil@remote.example>\r\n');
    await client.expect(['220']);
    await client.handshake();
    await client.expect(['silence']);
    client.send('EHLO b\r\n');
    await client.expect(['250']);
    client.end();
  });

  test('what was said before TLS has to be said again', () =>
    dialogue(
      gateway.ports.mx,
      'S: 220\n C: EHLO a\n S: 250\n C: MAIL FROM:<a@b.example>\n S: 250\n STARTTLS\n C: RCPT TO:<agent@ours.example>\n S: 503\n C: MAIL FROM:<a@b.example>\n S: 503',
    ).then(() => {}));

  test('T-04: STARTTLS once, and without words', () =>
    dialogue(
      port,
      'S: 220\n C: EHLO a\n S: 250\n C: STARTTLS now\n S: 501 5.5.4\n STARTTLS\n C: EHLO a\n S: 250\n C: STARTTLS\n S: 503 5.5.1',
    ).then(() => {}));

  test('T-13: any server name, and none, get the certificate', async () => {
    for (const servername of ['', 'gateway.example', 'unknown.example', `${'a.'.repeat(120)}example`]) {
      const socket = connectTls({ port: tlsPort, host: '127.0.0.1', servername, rejectUnauthorized: false });
      const [greeting] = await once(socket, 'data');
      expect(String(greeting)).toMatch(/^220 /);
      socket.destroy();
    }
  });

  test('T-11: nothing older than TLS 1.2', async () => {
    const socket = connectTls({
      port: tlsPort,
      host: '127.0.0.1',
      rejectUnauthorized: false,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    });
    const ended = await once(socket, 'secureConnect').then(
      () => 'open',
      () => 'refused',
    );
    expect(ended).toBe('refused');
    socket.destroy();
  });

  test('T-12: a handshake that does not go on is ended', async () => {
    const hasty = await testGateway({ limits: { idle_seconds: 1 } });
    const hello = '\\x16\\x03\\x01\\x00\\x80\\x01\\x00'; // the beginning of a ClientHello
    for (const script of ['S: closed', `raw: ${hello}\n S: closed`])
      await dialogue(hasty.ports.submissionTls, script);
    await dialogue(
      hasty.ports.mx,
      `S: 220\n C: EHLO a\n S: 250\n C: STARTTLS\n S: 220\n raw: ${hello}\n S: closed`,
    );
    const stalled = await Client.open(hasty.ports.mx);
    await stalled.expect(['220']);
    stalled.send('EHLO a\r\nSTARTTLS\r\n');
    await stalled.reply();
    await hasty.close();
    stalled.end();
  });

  test('a garbled handshake ends the connection and nothing else', async () => {
    await dialogue(
      port,
      'S: 220\n C: EHLO a\n S: 250\n C: STARTTLS\n S: 220\n raw: this is no handshake\\r\\n\n wait: 50',
    );
    await dialogue(port, 'S: 220');
  });
});
