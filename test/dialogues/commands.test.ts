/** Commands out of order, malformed, too long, too many: on the MX listener, where anyone may knock. */

import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Client, dialogue } from '../support/dialogue.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
let port: number;
const lines: string[] = [];

beforeAll(async () => {
  gateway = await testGateway(
    { limits: { message_bytes: 20_000, sessions_per_address: 10, idle_seconds: 2, data_seconds: 2 } },
    { log: { write: (line: string) => void lines.push(line) } },
  );
  port = gateway.ports.mx;
  await gateway.mailbox('bob@ours.example');
});
afterAll(() => gateway?.close());

const HELLO = `
  S: 220
  C: EHLO client.example
  S: 250`;
const MAIL = `${HELLO}
  C: MAIL FROM:<ana@remote.example>
  S: 250`;

describe('C-06: commands out of order', () => {
  test.each([
    ['MAIL before EHLO', 'S: 220\n C: MAIL FROM:<a@b.example>\n S: 503 5.5.1'],
    ['RCPT before MAIL', `${HELLO}\n C: RCPT TO:<bob@ours.example>\n S: 503 5.5.1`],
    ['DATA before RCPT', `${MAIL}\n C: DATA\n S: 503 5.5.1`],
    ['DATA before anything', 'S: 220\n C: DATA\n S: 503 5.5.1'],
    ['nested MAIL', `${MAIL}\n C: MAIL FROM:<a@b.example>\n S: 503 5.5.1`],
    ['RCPT after RSET', `${MAIL}\n C: RSET\n S: 250\n C: RCPT TO:<bob@ours.example>\n S: 503 5.5.1`],
    [
      'RCPT after a second EHLO',
      `${MAIL}\n C: EHLO x\n S: 250\n C: RCPT TO:<bob@ours.example>\n S: 503 5.5.1`,
    ],
  ])('%s', (_name, script) => dialogue(port, script).then(() => {}));
});

describe('C-04, C-16, C-17: parameters', () => {
  test.each([
    ['SIZE=20001', '552 5.3.4'],
    ['SIZE=20000', '250'],
    ['SIZE=-1', '501 5.5.4'],
    ['SIZE=', '501 5.5.4'],
    ['SIZE', '501 5.5.4'],
    ['SIZE=99999999999999999999', '501 5.5.4'],
    ['SIZE=1 SIZE=1', '501 5.5.4'],
    ['BODY=8BITMIME', '250'],
    ['body=7bit', '250'],
    ['BODY=BINARYMIME', '501 5.5.4'],
    ['BODY=8BITMIME BODY=8BITMIME', '501 5.5.4'],
    ['SMTPUTF8=1', '501 5.5.4'],
    ['RET=FULL', '555 5.5.4'],
    ['ENVID=a+0D+0Ab', '555 5.5.4'],
    ['HOLDFOR=999999999', '555 5.5.4'],
    ['HOLDUNTIL=2001-01-01T00:00:00Z', '555 5.5.4'],
    ['AUTH=<>', '555 5.5.4'],
    ['REQUIRETLS', '555 5.5.4'],
    ['=x', '501 5.5.4'],
    ['XYZZY', '555 5.5.4'],
  ])('MAIL %s', (parameters, reply) =>
    dialogue(port, `${HELLO}\n C: MAIL FROM:<a@b.example> ${parameters}\n S: ${reply}`).then(() => {}),
  );
  test.each([
    ['NOTIFY=NEVER,SUCCESS', '555 5.5.4'],
    ['ORCPT=rfc822;x', '555 5.5.4'],
    ['', '250'],
  ])('RCPT %s', (parameters, reply) =>
    dialogue(port, `${MAIL}\n C: RCPT TO:<bob@ours.example> ${parameters}\n S: ${reply}`).then(() => {}),
  );
});

describe('P-13, P-15: paths at MAIL', () => {
  const l64 = 'l'.repeat(64);
  const labels = (octets: number) => `${`${'d'.repeat(60)}.`.repeat(3).slice(0, octets - 8)}.example`;
  test.each([
    ['<a@good.example.>', '501 5.1.7'],
    ['<a@.good.example>', '501 5.1.7'],
    ['<a..b@good.example>', '501 5.1.7'],
    ['<.a@good.example>', '501 5.1.7'],
    ['<a.@good.example>', '501 5.1.7'],
    [`<${l64}@good.example>`, '250'],
    [`<${l64}l@good.example>`, '501 5.1.7'],
    [`<${l64}@${labels(189)}>`, '250'],
    [`<${l64}@${labels(190)}>`, '501'],
    ['<a@[IPv6:::1]>', '550 5.7.1'],
    ['<a@2130706433>', '550 5.7.1'],
    ['<a b@good.example>', '501'],
    ['<a@good.example><b@x.example>', '501'],
    ['a@good.example', '501 5.1.7'],
    ['', '501 5.1.7'],
  ])('%s', (path, reply) => dialogue(port, `${HELLO}\n C: MAIL FROM:${path}\n S: ${reply}`).then(() => {}));
});

describe('C-11: what may be said at EHLO', () => {
  test.each([
    ['client.example', '250'],
    ['[127.0.0.1]', '250'],
    ['[IPv6:2001:db8::1]', '250'],
    ['localhost', '250'],
    ['gateway.example', '250'],
    ['', '501 5.5.2'],
    [';rm -rf', '501 5.5.2'],
    ['a b', '501 5.5.2'],
    ['<script>', '501 5.5.2'],
    ['x'.repeat(300), '501 5.5.2'],
    ['b\xc3\xbccher.example', '501 5.5.2'],
    ['a\x1b[2Jb', '500 5.5.2'],
  ])('%s', (name, reply) => dialogue(port, `S: 220\n C: EHLO ${name}\n S: ${reply}`).then(() => {}));
});

describe('C-09, C-10, C-14, S-26: commands nobody needs', () => {
  test.each([
    ['VRFY root', '252 2.1.5'],
    ['VRFY bob', '252 2.1.5'],
    ['EXPN list', '502 5.5.1'],
    ['HELP', '214 2.0.0'],
    ['TURN', '502 5.5.1'],
    ['ETRN x', '502 5.5.1'],
    ['DEBUG', '500 5.5.2'],
    ['WIZ pass', '500 5.5.2'],
    ['SHELL', '500 5.5.2'],
    ['KILL', '500 5.5.2'],
    ['constructor', '500 5.5.2'],
    ['XCLIENT ADDR=192.0.2.1', '502 5.5.1'],
    ['XFORWARD ADDR=192.0.2.1', '502 5.5.1'],
    [`PROXY TCP4 192.0.2.1 192.0.2.2 1 25`, '500 5.5.2'],
    ['NOOP \x1b[31m', '500 5.5.2'],
    ['NOOP \xc0\xaf', '500 5.5.2'],
    ['NOOP \xe4', '500 5.5.2'],
    ['', '500 5.5.2'],
  ])('%s', async (command, reply) => {
    const heard = await dialogue(port, `${HELLO}\n C: ${command}\n S: ${reply}\n C: NOOP\n S: 250`);
    expect(heard.join('')).toMatch(/^[\x20-\x7e]*$/);
  });

  test('the twentieth error ends the session', () =>
    dialogue(port, `${HELLO}\n ${'C: XYZZY\n S: 500\n'.repeat(19)} C: XYZZY\n S: 421 4.7.0\n S: closed`).then(
      () => {},
    ));

  test('the hundred and first command without a message ends the session', () =>
    dialogue(port, `S: 220\n ${'C: NOOP\n S: 250\n'.repeat(100)} C: NOOP\n S: 421 4.7.0\n S: closed`).then(
      () => {},
    ));

  test('S-17: the octets of BDAT are not read as commands', () =>
    dialogue(
      port,
      `${MAIL}\n raw: BDAT 30 LAST\\r\\nRCPT TO:<bob@ours.example>\\r\\n\n S: 502 5.5.1\n S: closed`,
    ).then(() => {}));

  test('C-15: nothing behind QUIT is answered', () =>
    dialogue(port, `${HELLO}\n raw: QUIT\\r\\nQUIT\\r\\nNOOP\\r\\n\n S: 221 2.0.0\n S: closed`).then(
      () => {},
    ));
});

describe('S-23, S-24: other protocols', () => {
  test.each([
    ['raw: POST / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\nMAIL FROM:<a@b.example>\\r\\n', 'S: 421 4.7.0\nS: closed'],
    ['raw: GET /\\r\\n', 'S: 421 4.7.0\nS: closed'],
    ['raw: \\x16\\x03\\x01\\x02\\x00\\x01', 'S: closed'],
  ])('%s', (sent, answer) => dialogue(port, `S: 220\n ${sent}\n ${answer}`).then(() => {}));

  test('SMTP in clear on the TLS port', async () => {
    await dialogue(gateway.ports.submissionTls, 'raw: EHLO client.example\\r\\n\nS: closed');
  });
});

describe('C-01: lines without end', () => {
  test.each([
    ['513 octets', `NOOP ${'x'.repeat(506)}\\r\\n`],
    ['a megabyte', `NOOP ${'x'.repeat(1 << 20)}\\r\\n`],
    ['a megabyte without an end', 'x'.repeat(1 << 20)],
    ['MAIL with a path of 2,000 octets', `MAIL FROM:<${'x'.repeat(2000)}@b.example>\\r\\n`],
  ])('%s', async (_name, sent) => {
    const client = await Client.open(port);
    await client.expect(['220']);
    client.send(sent.replace('\\r\\n', '\r\n'));
    await client.expect(['500 5.5.2']);
    await client.expect(['closed']);
    client.end();
  });

  test('512 octets are a command', () =>
    dialogue(port, `S: 220\n C: NOOP ${'x'.repeat(505)}\n S: 250`).then(() => {}));
});

describe('sizes and numbers', () => {
  // header and the last CRLF are 8 of them
  const data = (octets: number) => {
    const line = `${'x'.repeat(98)}\\r\\n`;
    return `raw: ${line.repeat(Math.floor((octets - 8) / 100))}${'y'.repeat((octets - 8) % 100)}\\r\\n.\\r\\n`;
  };
  test.each([
    [19_999, '250'],
    [20_000, '250'],
    [20_001, '552 5.3.4'],
    [300_000, '552 5.3.4'],
  ])('C-03, C-04: %i octets after SIZE=1', (octets, reply) =>
    dialogue(
      port,
      `${HELLO}
       C: MAIL FROM:<a@b.example> SIZE=1
       S: 250
       C: RCPT TO:<bob@ours.example>
       S: 250
       C: DATA
       S: 354
       raw: A:\\r\\n\\r\\n
       ${data(octets)}
       S: ${reply}
       C: QUIT
       S: 221`,
    ).then(() => {}),
  );

  test('C-03: a message that takes too long to arrive', () =>
    dialogue(
      port,
      `${MAIL}
       C: RCPT TO:<bob@ours.example>
       S: 250
       C: DATA
       S: 354
       ${'raw: a\n wait: 500\n'.repeat(5)}
       S: 421 4.4.2
       S: closed`,
    ).then(() => {}));

  test('C-05: the hundred and first recipient is told to come later, the hundred are kept', async () => {
    const rcpt = Array.from({ length: 100 }, (_, i) => `C: RCPT TO:<bob+${i}@ours.example>\n S: 250`).join(
      '\n',
    );
    await gateway.runtime.database.pool.query('delete from messages');
    await dialogue(
      port,
      `${MAIL}
       ${rcpt}
       ${'C: RCPT TO:<bob+more@ours.example>\n S: 452 4.5.3\n'.repeat(30)}
       C: DATA
       S: 354
       raw: A: b\\r\\n\\r\\n.\\r\\n
       S: 250`,
    );
    expect((await gateway.messages())[0]!.forwardPaths).toHaveLength(100);
  });

  test('C-12: silence ends a session', () =>
    dialogue(port, 'S: 220\n S: 421 4.4.2\n S: closed').then(() => {}));

  test('C-12: a session that turned to TLS is counted out too', async () => {
    for (let i = 0; i < 12; i++) await dialogue(port, `${HELLO}\n STARTTLS\n C: QUIT\n S: 221`);
    for (let i = 0; i < 12; i++) {
      const client = await Client.open(port);
      await client.act('wait: 120');
      client.send('EHLO x\r\nSTARTTLS\r\n');
      await client.act('wait: 20');
      client.end(); // in the middle of the handshake
    }
    await new Promise((go) => setTimeout(go, 50));
    await dialogue(port, 'S: 220');
  });

  test('C-12: the eleventh session of one address is told to come later', async () => {
    const sockets = Array.from({ length: 11 }, () => connect(port, '127.0.0.1'));
    const greetings = await Promise.all(
      sockets.map(async (socket) => String((await once(socket, 'data'))[0])),
    );
    expect(greetings.filter((text) => text.startsWith('220'))).toHaveLength(10);
    expect(greetings.filter((text) => text.startsWith('421 4.3.2'))).toHaveLength(1);
    for (const socket of sockets) socket.destroy();
    await Promise.all(sockets.map((socket) => socket.closed || once(socket, 'close')));
    await new Promise((go) => setTimeout(go, 50));
    await dialogue(port, 'S: 220');
  });
});

test('G-01: a session is one line in the log, whatever it said', async () => {
  await new Promise((go) => setTimeout(go, 50));
  lines.length = 0;
  await dialogue(port, `${HELLO}\n C: XYZZY {"level":"info"}\n S: 500\n C: QUIT\n S: 221\n S: closed`);
  await new Promise((go) => setTimeout(go, 50));
  const sessions = lines.map((line) => JSON.parse(line)).filter(({ msg }) => msg === 'session ended');
  expect(sessions).toHaveLength(1);
  expect(sessions[0]).toMatchObject({
    listener: 'mx',
    client: '127.0.0.1',
    ehlo: 'client.example',
    end: 'quit',
    commands: 3,
    accepted: 0,
    refusals: 1,
    refusal: '500 5.5.2',
  });
  expect(lines.join('')).not.toContain('XYZZY');
});
