/** Clients that people really use, against the doors as they stand. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { PASSWORD, type TestGateway, testGateway } from '../support/gateway.ts';
import { needs, onPath } from '../support/needs.ts';

let gateway: TestGateway;
let folder: string;
let ca: string;

beforeAll(async () => {
  gateway = await testGateway({ hostname: 'localhost', trusted: TRUSTED });
  folder = mkdtempSync(join(tmpdir(), 'postern-clients-'));
  ca = join(gateway.runtime.config.data_dir, 'tls', 'certificate.pem');
  await gateway.login('agent', await gateway.mailbox('agent@ours.example'));
});
afterAll(async () => {
  await gateway?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  await gateway.runtime.database.pool.query('delete from messages');
});

const TRUSTED = {
  enabled: true,
  networks: [{ name: 'local', cidrs: ['127.0.0.0/8'], mailbox: 'agent@ours.example' }],
};

function run(program: string, args: string[], input = ''): Promise<{ code: number | null; output: string }> {
  const child = spawn(onPath(program) ?? program, args, { timeout: 30_000 });
  let output = '';
  child.stdout.on('data', (chunk) => (output += chunk));
  child.stderr.on('data', (chunk) => (output += chunk));
  child.stdin.end(input);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output }));
  });
}

const MESSAGE = 'From: agent@ours.example\r\nTo: ana@remote.example\r\nSubject: Hello\r\n\r\nHi\r\n';

test.skipIf(needs('swaks'))('swaks over STARTTLS', async () => {
  const { code, output } = await run('swaks', [
    ...['--server', '127.0.0.1', '--port', String(gateway.ports.submission), '-tls'],
    ...['--auth', 'PLAIN', '--auth-user', 'agent', '--auth-password', PASSWORD],
    ...['--from', 'agent@ours.example', '--to', 'ana@remote.example,bob@remote.example'],
  ]);
  expect(output).toContain('Queued as');
  expect(code).toBe(0);
  expect((await gateway.messages())[0]!.forwardPaths).toHaveLength(2);
});

test.skipIf(needs('swaks'))('swaks, to somebody else, at the MX', async () => {
  const { code, output } = await run('swaks', [
    ...['--server', '127.0.0.1', '--port', String(gateway.ports.mx)],
    ...['--from', 'agent@ours.example', '--to', 'ana@remote.example'],
  ]);
  expect(output).toContain('550 5.7.1');
  expect(code).toBe(24); // what swaks calls no recipient accepted
});

test.skipIf(needs('curl')).each(['smtp', 'smtps'])(
  'curl by %s, with the certificate checked',
  async (scheme) => {
    const port = scheme === 'smtp' ? gateway.ports.submission : gateway.ports.submissionTls;
    const file = join(folder, 'message.eml');
    writeFileSync(file, MESSAGE);
    const { code, output } = await run('curl', [
      ...['--silent', '--show-error', '--ssl-reqd', '--cacert', ca, '--url', `${scheme}://localhost:${port}`],
      ...[
        '--user',
        `agent:${PASSWORD}`,
        '--mail-from',
        'agent@ours.example',
        '--mail-rcpt',
        'ana@remote.example',
      ],
      ...['--upload-file', file],
    ]);
    expect({ code, output }).toEqual({ code: 0, output: '' });
    expect((await gateway.messages())[0]!.subject).toBe('Hello');
  },
);

test.skipIf(needs('openssl'))('openssl sees a certificate it can check, and TLS 1.3', async () => {
  const { output } = await run(
    'openssl',
    [
      ...['s_client', '-connect', `127.0.0.1:${gateway.ports.mx}`, '-starttls', 'smtp', '-CAfile', ca],
      ...['-verify_hostname', 'localhost', '-quiet', '-verify_return_error', '-crlf'],
    ],
    'QUIT\n',
  );
  expect(output).toContain('221 2.0.0');
});

test('nodemailer, many messages over one kept connection', async () => {
  const transport = createTransport({
    ...{ host: '127.0.0.1', port: gateway.ports.submission, requireTLS: true, pool: true, maxConnections: 1 },
    ...{ auth: { user: 'agent', pass: PASSWORD }, tls: { rejectUnauthorized: false } },
  });
  const from = 'Agent <agent@ours.example>';
  const sent = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      transport.sendMail({ from, to: 'ana@remote.example', subject: `n ${i}`, text: 'ä' }),
    ),
  );
  transport.close();
  const messages = await gateway.messages();
  expect(messages).toHaveLength(20);
  expect(messages.map(({ facts }) => facts.messageId).sort()).toEqual(
    sent.map(({ messageId }) => messageId).sort(),
  );
});

test.skipIf(needs('smtp-source'))('a client that connects for each message is not kept waiting', async () => {
  const began = performance.now();
  const { code } = await run('smtp-source', [
    ...['-s', '1', '-m', '20', '-f', 'agent@ours.example', '-t', 'ana@remote.example'],
    `127.0.0.1:${gateway.ports.trusted}`,
  ]);
  expect(code).toBe(0);
  expect(performance.now() - began).toBeLessThan(1_500); // 20 greetings of 100 ms would take longer
  expect(await gateway.messages()).toHaveLength(20);
});
