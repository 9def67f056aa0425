/** Random dialogues and bytes against a real listener: it answers or closes, and then serves the next as usual. */
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dialogue } from '../support/dialogue.ts';
import { PASSWORD, type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await testGateway({
    limits: { sessions: 2000, sessions_per_address: 2000, message_bytes: 100_000 },
    trusted: {
      enabled: true,
      port: 0,
      networks: [
        {
          name: 'lan',
          cidrs: ['127.0.0.0/8'],
          mailbox: 'agent@ours.example',
          senders: ['agent@ours.example'],
        },
      ],
    },
    submission: { port: 0, tls_port: 0, allow_plaintext_auth_from_loopback: true },
  });
  await gateway.login('agent', await gateway.mailbox('agent@ours.example'));
});
afterAll(() => gateway.close());

const plain = Buffer.from(`\0agent\0${PASSWORD}`).toString('base64');
const WORDS = [
  'EHLO client.example', 'HELO x', 'EHLO', 'EHLO [127.0.0.1]', 'MAIL FROM:<agent@ours.example>', 'MAIL FROM:<>',
  'MAIL FROM:<a@b.example> SIZE=10 BODY=8BITMIME SMTPUTF8', 'MAIL FROM:<a@b.example> SIZE=-1', 'RCPT TO:<agent@ours.example>',
  'RCPT TO:<v@other.example>', 'RCPT TO:<@a,@b:c@d>', 'RCPT TO:<"a b"@ours.example>', 'DATA', 'DATA x', '.', '..', 'RSET', 'NOOP',
  'QUIT', 'VRFY root', 'HELP', 'AUTH PLAIN', `AUTH PLAIN ${plain}`, 'AUTH LOGIN', 'AUTH LOGIN YWdlbnQ=', '*', 'YWdlbnQ=', 'AUTH X',
  'STARTTLS', 'BDAT 10 LAST', 'XCLIENT ADDR=1.2.3.4', 'PROXY TCP4 1.2.3.4 5.6.7.8 1 2', 'GET / HTTP/1.1', 'Subject: x', '',
  'From: agent@ours.example', 'X-Postern-Tags: a=b', 'Content-Type: multipart/mixed; boundary=x', '\0', '\u00ff\u00fe', '=?utf-8?B?eA==?=',
]; // biome-ignore format: a list of words
const ENDS = ['\r\n', '\r\n', '\r\n', '\r\n', '\n', '\r', '', '\r\n.\r\n', ' '];

const line = fc
  .tuple(
    fc.oneof(
      { weight: 8, arbitrary: fc.constantFrom(...WORDS) },
      { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 60 }) },
      {
        weight: 1,
        arbitrary: fc.constantFrom('A', ' ', '<', '>', '.', '"').map((char) => char.repeat(2000)),
      },
    ),
    fc.constantFrom(...ENDS),
  )
  .map(([text, end]) => Buffer.from(text + end));
const bytes = fc.uint8Array({ maxLength: 300 }).map((octets) => Buffer.from(octets));
const usual = fc.constantFrom(
  'EHLO c.example\r\n',
  `EHLO c.example\r\nAUTH PLAIN ${plain}\r\n`,
  'EHLO c.example\r\nMAIL FROM:<agent@ours.example>\r\nRCPT TO:<agent@ours.example>\r\nDATA\r\n',
  'EHLO c.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<agent@ours.example>\r\n',
).map((text) => Buffer.from(text)); // biome-ignore format: one per line
const listener = fc.constantFrom('submission', 'submissionTls', 'mx', 'trusted');
const pieces = fc.array(fc.oneof({ weight: 6, arbitrary: line }, bytes, usual), {
  minLength: 1,
  maxLength: 25,
});

/** Says it all, ends its side, and resolves to what was heard once the other side has closed. */
function play(port: number, said: Buffer[], late: boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(port, '127.0.0.1');
    const patience = setTimeout(() => reject(new Error('neither answered nor closed')), 10_000);
    let heard = '';
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      heard += chunk.toString('latin1');
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      clearTimeout(patience);
      resolve(heard);
    });
    const speak = () => {
      for (const piece of said) socket.write(piece);
      socket.end();
    };
    if (late) socket.once('data', speak);
    else speak();
    if (late) setTimeout(() => heard === '' && speak(), 300); // with TLS from the first byte nobody greets
  });
}

const REPLIES = /^(?:\d{3}[ -][\x20-\x7e]*\r\n)*$/;

test('whatever is said, every answer is a reply, and the session comes to its end', async () => {
  await fc.assert(
    fc.asyncProperty(listener, pieces, fc.boolean(), async (name, said, late) => {
      const heard = await play(gateway.ports[name], said, late);
      if (name !== 'submissionTls') expect(heard).toMatch(REPLIES);
    }),
    { numRuns: 300 },
  );
  await servesAsUsual();
});

test('many at once leave nothing behind', async () => {
  const before = { sessions: await openSessions(), heap: heapAfterGc() };
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(listener, pieces), { minLength: 40, maxLength: 40 }), async (all) => {
      await Promise.all(all.map(([name, said]) => play(gateway.ports[name], said, false)));
    }),
    { numRuns: 8 },
  );
  await servesAsUsual();
  expect(await openSessions()).toBe(before.sessions);
  expect(heapAfterGc() - before.heap).toBeLessThan(30 << 20);
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function heapAfterGc(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

async function openSessions(): Promise<number> {
  await new Promise((go) => setTimeout(go, 200));
  const metrics = await gateway.runtime.metrics.registry.getMetricsAsJSON();
  const gauge = metrics.find(({ name }) => name === 'postern_smtp_sessions_open');
  if (gauge === undefined) throw new Error('nobody counts the open sessions');
  return gauge.values.reduce((sum, { value }) => sum + Number(value), 0);
}

async function servesAsUsual(): Promise<void> {
  const count = (await gateway.messages()).length;
  await dialogue(
    gateway.ports.mx,
    `S: 220
     C: EHLO client.example
     S: 250
     C: MAIL FROM:<ana@remote.example>
     S: 250
     C: RCPT TO:<agent@ours.example>
     S: 250
     C: DATA
     S: 354
     raw: From: ana@remote.example\\r\\n\\r\\nHello\\r\\n.\\r\\n
     S: 250
     C: QUIT
     S: 221`,
  );
  expect((await gateway.messages()).length).toBe(count + 1);
}
