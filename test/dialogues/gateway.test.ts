/** The gateway as a whole: what it does when the store is away, when it is full, and when it closes. */

import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { generate } from 'selfsigned';
import { afterEach, describe, expect, test } from 'vitest';
import { startGateway } from '../../gateway/main.ts';
import { Client, dialogue, sleep } from '../support/dialogue.ts';
import { PASSWORD, type TestGateway, testGateway } from '../support/gateway.ts';

let open: TestGateway[] = [];
afterEach(async () => {
  await Promise.all(open.map((gateway) => gateway.close()));
  open = [];
});

async function gatewayWith(settings: Record<string, unknown> = {}): Promise<TestGateway> {
  const gateway = await testGateway(settings);
  open.push(gateway);
  await gateway.mailbox('bob@ours.example');
  return gateway;
}

const MAIL = `S: 220
  C: EHLO client.example
  S: 250
  C: MAIL FROM:<ana@remote.example>
  S: 250
  C: RCPT TO:<bob@ours.example>
  S: 250
  C: DATA
  S: 354`;

describe('when the store is away', () => {
  test('250 is not said: 451, nothing kept, and the next message is taken again', async () => {
    const gateway = await gatewayWith();
    const { pool } = gateway.runtime.database;
    await dialogue(gateway.ports.mx, `${MAIL}\nraw: A: 1\\r\\n\\r\\n.\\r\\n\nS: 250`);
    await pool.query('alter table recipients rename to away; alter table audit_events rename to elsewhere');
    await dialogue(gateway.ports.mx, `${MAIL}\nraw: A: 2\\r\\n\\r\\n.\\r\\n\nS: 451 4.3.0\nC: NOOP\nS: 250`);
    await pool.query('alter table away rename to recipients; alter table elsewhere rename to audit_events');
    await dialogue(gateway.ports.mx, `${MAIL}\nraw: A: 3\\r\\n\\r\\n.\\r\\n\nS: 250`);
    expect(await gateway.messages()).toHaveLength(2);
  });

  test('a recipient that cannot be looked up is told to come later, and so is a login', async () => {
    const gateway = await gatewayWith();
    await gateway.runtime.database.pool.query('alter table mailboxes rename to away');
    await dialogue(
      gateway.ports.mx,
      'S: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<a@b.example>\nS: 250\nC: RCPT TO:<eve@ours.example>\nS: 451 4.3.0',
    );
    await dialogue(
      gateway.ports.submissionTls,
      `S: 220\nC: EHLO a\nS: 250\nC64: bob ${PASSWORD}\nS: 454 4.7.0`,
      {
        tls: true,
      },
    );
    await gateway.runtime.database.pool.query('alter table away rename to mailboxes');
  });
});

test('above the watermark mail is told to come later, and taken again below it', async () => {
  const gateway = await gatewayWith({ limits: { queued_messages: 2 } });
  const { mx } = gateway.ports;
  for (let i = 0; i < 2; i++) await dialogue(mx, `${MAIL}\nraw: A: 1\\r\\n\\r\\n.\\r\\n\nS: 250`);
  await sleep(1_300);
  await dialogue(mx, 'S: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<a@b.example>\nS: 452 4.3.1');
  await gateway.runtime.database.pool.query(`update messages set state = 'available', wake_at = null`);
  await sleep(1_300);
  await dialogue(mx, `${MAIL}\nraw: A: 1\\r\\n\\r\\n.\\r\\n\nS: 250`);
});

test('with too little free disk mail is told to come later', async () => {
  const gateway = await gatewayWith({ limits: { free_disk_bytes: Number.MAX_SAFE_INTEGER } });
  await sleep(100);
  await dialogue(gateway.ports.mx, 'S: 220\nC: EHLO a\nS: 250\nC: MAIL FROM:<a@b.example>\nS: 452 4.3.1');
});

describe('C-22: closing', () => {
  test('an idle session is told, one in DATA may finish, no other is let in', async () => {
    const gateway = await gatewayWith();
    const { mx } = gateway.ports;
    const [idle, busy] = await Promise.all([Client.open(mx), Client.open(mx)]);
    await idle.expect(['220']);
    for (const line of MAIL.split('\n').map((text) => text.trim())) {
      if (line.startsWith('S: ')) await busy.expect([line.slice(3)]);
      else await busy.act(line);
    }
    busy.send('A: 1\r\n');
    await sleep(50);
    const closed = gateway.close();
    open = [];
    await idle.expect(['421 4.3.2']);
    await idle.expect(['closed']);
    await expect(Client.open(mx)).rejects.toThrow();
    busy.send('\r\n.\r\n');
    await busy.expect(['250 2.6.0']);
    await busy.expect(['421 4.3.2']);
    await closed;
  });

  test('a client that does not finish is let go after a few seconds, and nothing is kept', async () => {
    const gateway = await gatewayWith();
    const client = await Client.open(gateway.ports.mx);
    for (const line of MAIL.split('\n').map((text) => text.trim())) {
      if (line.startsWith('S: ')) await client.expect([line.slice(3)]);
      else await client.act(line);
    }
    client.send('A: 1\r\n\r\nhalf');
    const began = Date.now();
    open = [];
    await gateway.close();
    expect(Date.now() - began).toBeLessThan(8_000);
  });
});

test('a port in use is named with its setting', async () => {
  const gateway = await gatewayWith();
  const { runtime } = gateway;
  const config = { ...runtime.config, mx: { ...runtime.config.mx, port: gateway.ports.mx } };
  await expect(startGateway({ ...runtime, config })).rejects.toThrow(
    `127.0.0.1:${gateway.ports.mx} (mx.port): the port is in use`,
  );
});

test('a listener that is not enabled is not there', async () => {
  const gateway = await gatewayWith({ submission: { enabled: false } });
  expect(Object.keys(gateway.ports)).toEqual(['mx']);
});

test('a renewed certificate is shown to whoever comes next, a bad one leaves the old in use', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-certificate-'));
  const files = { certificate_file: join(folder, 'cert.pem'), key_file: join(folder, 'key.pem') };
  const renew = async (name: string) => {
    const { cert, private: key } = await generate([{ name: 'commonName', value: name }]);
    writeFileSync(files.certificate_file, cert);
    writeFileSync(files.key_file, key);
  };
  await renew('first.example');
  const gateway = await gatewayWith({ tls: files });
  const shown = async () => {
    const socket = connectTls({
      port: gateway.ports.submissionTls,
      host: '127.0.0.1',
      rejectUnauthorized: false,
    });
    await once(socket, 'secureConnect');
    const name = socket.getPeerCertificate().subject.CN;
    socket.destroy();
    return name;
  };
  expect(await shown()).toBe('first.example');
  await renew('second.example');
  await gateway.reloadCertificate();
  expect(await shown()).toBe('second.example');
  writeFileSync(files.key_file, 'no key');
  await expect(gateway.reloadCertificate()).rejects.toThrow('tls.key_file');
  expect(await shown()).toBe('second.example');
  rmSync(folder, { recursive: true });
});

test('U-01: twenty failed logins from one address close it to logins for the minute', async () => {
  const gateway = await gatewayWith({
    limits: { auth_failures_per_address_minute: 4, auth_failures_per_session: 100 },
    submission: { allow_plaintext_auth_from_loopback: true },
  });
  await gateway.login('bob', await gateway.mailbox('carl@ours.example'));
  const wrong = 'C64: bob no\nS: 535\n'.repeat(4);
  await dialogue(
    gateway.ports.submission,
    `S: 220\nC: EHLO a\nS: 250-AUTH PLAIN\n${wrong}C64: bob ${PASSWORD}\nS: 454 4.7.0`,
  );
});
