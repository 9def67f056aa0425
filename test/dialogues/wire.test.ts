/** What ends a message, and what does not: the same on every listener. */
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Client, dialogue, sleep } from '../support/dialogue.ts';
import { PASSWORD, type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;

beforeAll(async () => {
  gateway = await testGateway({
    trusted: {
      enabled: true,
      networks: [
        { name: 'old', cidrs: ['127.0.0.0/24'], mailbox: 'us@ours.example', normalise: true },
        { name: 'new', cidrs: ['127.0.0.0/8'], mailbox: 'us@ours.example' },
      ],
    },
  });
  await gateway.login('us', await gateway.mailbox('us@ours.example'));
});
afterAll(() => gateway?.close());
beforeEach(async () => {
  await gateway.runtime.database.pool.query('delete from messages');
});

const SUBMISSION = `
  S: 220
  C: EHLO client.example
  S: 250
  C64: us ${PASSWORD}
  S: 235
  C: MAIL FROM:<us@ours.example>`;
const OPENINGS = {
  mx: { tls: false, script: 'S: 220\n C: EHLO client.example\n S: 250\n C: MAIL FROM:<us@remote.example>' },
  submissionTls: { tls: true, script: SUBMISSION },
} as const;
const LISTENERS = Object.keys(OPENINGS) as (keyof typeof OPENINGS)[];

function opening(listener: keyof typeof OPENINGS): string {
  return `${OPENINGS[listener].script}\n S: 250\n C: RCPT TO:<us@ours.example>\n S: 250\n C: DATA\n S: 354\n`;
}

const HEADER = 'From: us@ours.example\\r\\n\\r\\n';

describe.each(LISTENERS)('on %s', (listener) => {
  const { tls } = OPENINGS[listener];
  const smuggled = 'MAIL FROM:<evil@remote.example>\\r\\nRCPT TO:<us@ours.example>\\r\\nDATA\\r\\nb\\r\\n';

  test.each([
    ['S-01: LF.LF', `a\\n.\\n${smuggled}`, '554 5.6.0'],
    ['S-02: LF.CRLF', `a\\n.\\r\\n${smuggled}`, '554 5.6.0'],
    ['S-03: CRLF.LF', `a\\r\\n.\\n${smuggled}`, '554 5.6.0'],
    ['S-04: CR.CR', `a\\r.\\r${smuggled}`, '554 5.6.0'],
    ['S-07: CRLF.CRCRLF', `a\\r\\n.\\r\\r\\n${smuggled}`, '554 5.6.0'],
    ['S-07: CRCRLF.CRLF ends it, as CRLF.CRLF does', 'a\\r', '554 5.6.0'],
    ['S-08: NUL before the dot', `a\\r\\n\\0.\\r\\n${smuggled}`, '554 5.6.0'],
    ['S-08: NUL behind the dot', `a\\r\\n.\\0\\r\\n${smuggled}`, '554 5.6.0'],
    ['C-02: a line of 998 octets', 'x'.repeat(998), '250'],
    ['C-02: a line of 2,046 octets', 'x'.repeat(2046), '250'],
    ['C-02: a line of 2,047 octets', 'x'.repeat(2047), '554 5.6.0'],
  ])('%s', async (_name, body, reply) => {
    await dialogue(
      gateway.ports[listener],
      `${opening(listener)}
       raw: ${HEADER}${body}\\r\\n.\\r\\n
       S: ${reply}
       S: silence
       C: NOOP
       S: 250`,
      { tls },
    );
    expect(await gateway.messages()).toHaveLength(reply === '250' ? 1 : 0);
  });

  test('S-09, S-10, S-12: dots and segments change nothing', async () => {
    const port = gateway.ports[listener];
    await dialogue(
      port,
      `${opening(listener)}
       raw: ${HEADER}..\\r\\n...\\r\\n..${'x'.repeat(900)}\\r\\n..\\r\\n.\\r
       wait: 50
       raw: \\n
       S: 250`,
      { tls },
    );
    await dialogue(
      port,
      `${opening(listener)}\nraw: ..\nwait: 50\nraw: a: 1\\r\\nMAIL FROM:<evil@x.example>\\r\\n.\\r\\n\nS: 55`,
      { tls },
    );
    const [message, ...others] = await gateway.messages();
    expect(others).toEqual([]);
    expect(message!.bytes.toString().split('\r\n\r\n')[1]).toBe(`.\r\n..\r\n.${'x'.repeat(900)}\r\n.\r\n`);
  });
});

test('S-11: however a message is cut into segments, the same bytes are stored', async () => {
  const piece = fc.constantFrom('.', '..', '\r\n', '\r\n.', 'a', 'text', '\r\n..x', ' ');
  await fc.assert(
    fc.asyncProperty(
      fc.array(piece, { maxLength: 20 }),
      fc.array(fc.nat({ max: 9 }), { minLength: 1, maxLength: 20 }),
      async (pieces, cuts) => {
        const body = `${pieces.join('')}\r\n`;
        await gateway.runtime.database.pool.query('delete from messages');
        const client = await Client.open(gateway.ports.trusted);
        try {
          await client.expect(['220']);
          for (const line of [
            'HELO x',
            'MAIL FROM:<us@ours.example>',
            'RCPT TO:<a@remote.example>',
            'DATA',
          ]) {
            client.send(`${line}\r\n`);
            await client.reply();
          }
          const wire = `From: us@ours.example\r\n\r\n${body.replace(/^\./gm, '..')}.\r\n`;
          for (let at = 0, i = 0; at < wire.length; i++) {
            const step = 1 + cuts[i % cuts.length]! ** 2;
            client.send(wire.slice(at, at + step));
            at += step;
            await new Promise((go) => setImmediate(go));
          }
          await client.expect(['250 2.6.0']);
        } finally {
          client.end();
        }
        const [message, ...others] = await gateway.messages();
        const text = message!.bytes.toString('latin1');
        return others.length === 0 && text.slice(text.indexOf('\r\n\r\n') + 4) === body;
      },
    ),
    { numRuns: 25 },
  );
});

test('S-13: an appliance that ends lines in LF is repaired where its network says so', async () => {
  await dialogue(
    gateway.ports.trusted,
    `S: 220
     C: EHLO scanner
     S: 250
     C: MAIL FROM:<us@ours.example>
     S: 250
     C: RCPT TO:<ana@remote.example>
     S: 250
     C: DATA
     S: 354
     raw: From: us@ours.example\\nSubject: x\\n\\na\\n.\\nb\\r\\n.\\r\\n
     S: 250`,
  );
  const text = (await gateway.messages())[0]!.bytes.toString();
  expect(text.endsWith('\r\nSubject: x\r\n\r\na\r\n.\r\nb\r\n')).toBe(true);
});

test('C-15, C-22: a client that leaves in the middle of DATA leaves nothing behind', async () => {
  await dialogue(
    gateway.ports.mx,
    `${opening('mx')}\n raw: From: us@ours.example\\r\\n\\r\\nhalf\\r\\nQUIT\\r\\n`,
  );
  await sleep(50);
  expect(await gateway.messages()).toEqual([]);
});
