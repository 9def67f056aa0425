import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditEntry, Capture, Pending } from '../../cli/api-shapes.ts';
import { needs } from '../support/needs.ts';
import { copyable, type Newcomer, newcomer, type Running } from '../support/newcomer.ts';

describe('a newcomer', () => {
  let home: Newcomer;
  let postern: Running;
  let lines: string[];

  beforeAll(async () => {
    home = await newcomer();
    postern = await home.start();
    lines = copyable(postern.welcome());
  });
  afterAll(() => home.remove());

  test('finds everything for scripts in data/quickstart.json, which nobody else may read', () => {
    const { ports, folder } = home;
    expect(home.quickstart()).toEqual({
      submission: {
        host: '127.0.0.1',
        port: ports.submission,
        tls_port: ports.tls,
        username: 'agent@postern.test',
        password: expect.stringMatching(/^[0-9a-f]{30}$/),
        ca_file: join(folder, 'data/tls/certificate.pem'),
      },
      mx: { host: '127.0.0.1', port: ports.mx },
      api: {
        url: `http://127.0.0.1:${ports.http}`,
        admin_key: expect.stringMatching(/^mm_live_/),
        agent_key: expect.stringMatching(/^mm_live_/),
        reviewer_key: expect.stringMatching(/^mm_live_/),
      },
      mailbox: {
        id: expect.stringMatching(/^[0-9A-Z]{26}$/),
        address: 'agent@postern.test',
        oversight_mode: 'gated_send',
      },
      capture: { url: `http://127.0.0.1:${ports.http}/v1/capture` },
    });
    expect(statSync(join(folder, 'data/quickstart.json')).mode & 0o777).toBe(0o600);
  });

  test('is told the ports that were chosen by variables', () => {
    for (const port of Object.values(home.ports)) expect(postern.welcome()).toContain(`:${port}`);
  });

  test('is shown a line for each way to send, and for each step after it', () => {
    expect(lines.map((line) => /^(printf|swaks|curl|npm run -s postern -- .*)/.exec(line)?.[1])).toEqual([
      'printf',
      'swaks',
      'curl',
      'npm run -s postern -- held list',
      'npm run -s postern -- held approve latest',
      'npm run -s postern -- capture list',
      'npm run -s postern -- capture show latest',
      'npm run -s postern -- audit list',
    ]);
  });

  test('copies every line as it is printed, and each works', async () => {
    const noSwaks = needs('swaks');
    for (const line of lines.filter((one) => !(noSwaks && one.startsWith('swaks')))) {
      const ended = await home.shell(line);
      expect(ended, line).toMatchObject({ code: 0 });
      if (line.endsWith('held list')) expect(ended.stdout).toContain('Hello from curl');
      if (line.endsWith('held list') && !noSwaks) expect(ended.stdout).toContain('Hello from swaks');
      if (line.endsWith('held list')) expect(ended.stdout).toContain('Hello from REST');
      if (line.endsWith('held approve latest'))
        expect(ended.stdout).toMatch(/approved [0-9A-Z]{26}; it is relayed\n$/);
      if (/capture (list|show)/.test(line)) expect(ended.stdout).toContain('Hello from REST');
      if (line.endsWith('audit list')) expect(ended.stdout).toContain('message.approved');
    }
  });

  test('sends nothing that nobody approved', async () => {
    const all = (await home.json<{ captures: Capture[] }>('capture', 'list')).captures;
    // What is written to the overseer about mail that waits.
    const notices = all.filter(({ kind }) => kind === 'notice');
    expect(notices.map(({ forward_paths }) => forward_paths)).toEqual(
      notices.map(() => ['operator@postern.test']),
    );
    const captures = all.filter(({ kind }) => kind !== 'notice');
    const { entries } = await home.json<{ entries: AuditEntry[] }>(
      'audit',
      'list',
      '--action',
      'message.approved',
    );
    expect(captures.map(({ message_id }) => message_id)).toEqual(
      entries.map(({ resource_id }) => resource_id),
    );
    expect(captures.length).toBe(1);
  });

  test('comes back later: ready in 3 seconds, with a short welcome that tells no secret, and all as it was', async () => {
    const before = home.quickstart();
    const held = await home.json<{ held: Pending[] }>('held', 'list');
    expect(await postern.end('SIGTERM')).toBe(0);
    expect(existsSync(join(home.folder, 'data/postgres/postmaster.pid'))).toBe(false);

    postern = await home.start();
    expect(postern.readyMs).toBeLessThan(3_000);
    expect(home.quickstart()).toEqual(before);
    expect(await home.json('held', 'list')).toEqual(held);
    for (const secret of [before.submission.password, ...Object.values(before.api).slice(1)])
      expect(postern.welcome()).not.toContain(secret);
    for (const line of copyable(postern.welcome()))
      expect(await home.shell(line), line).toMatchObject({ code: 0 });
  });

  test('starts it a second time beside the first, and is told who has the folder', async () => {
    const { code, stderr } = await home.tryStart();
    expect(code).toBe(1);
    const { url } = home.quickstart().api;
    expect(stderr).toMatch(
      new RegExp(
        `^postern: .*data is in use by process ${postern.pid}: Postern runs there already \\(${url}\\)$`,
        'm',
      ),
    );
    expect(stderr).toContain(`kill ${postern.pid}\n`);
    expect(stderr).toMatch(/^ {2}POSTERN_DATA_DIR=\.\/data-2 (POSTERN_\w+_PORT=\d+ ){4}npm start$/m);
    expect((await home.postern('doctor', '--health', '--url', 'x')).code).toBe(2);
    expect(await home.json('held', 'list')).toMatchObject({ held: expect.anything() });
  });

  test('kills it, and the next start finds what was accepted', async () => {
    const held = await home.json<{ held: Pending[] }>('held', 'list');
    expect(await postern.end('SIGKILL')).toBe('SIGKILL');
    postern = await home.start();
    expect(await home.json('held', 'list')).toEqual(held);
  });

  test('loses data/quickstart.json: new secrets are made, the old ones stay valid, and it is said so', async () => {
    const before = home.quickstart();
    await postern.end('SIGTERM');
    rmSync(join(home.folder, 'data/quickstart.json'));
    postern = await home.start();
    expect(postern.welcome()).toContain(
      'Made anew, for the old ones were not found: the admin key, the agent key, the reviewer key, the submission login.',
    );
    const after = home.quickstart();
    expect(after.mailbox).toEqual(before.mailbox);
    expect(after.submission.username).toBe('agent-2@postern.test');
    for (const key of [before.api.admin_key, after.api.admin_key])
      expect((await home.postern('audit', 'list', '--key', key)).code).toBe(0);
    expect((await home.postern('send-test', 'bob@example.org')).code).toBe(0);
  });

  test('presses Ctrl-C after "npm start", and it drains instead of breaking off', async () => {
    await postern.end('SIGTERM');
    postern = await home.start({ npm: true });
    await postern.end('SIGINT');
    expect(postern.log()).toContain('"msg":"closed"');
    expect(existsSync(join(home.folder, 'data/postgres/postmaster.pid'))).toBe(false);
    postern = await home.start();
  });
});

test.for([
  ['submission.port', 'POSTERN_SUBMISSION_PORT', 'submission'],
  ['submission.tls_port', 'POSTERN_SUBMISSION_TLS_PORT', 'tls'],
  ['mx.port', 'POSTERN_MX_PORT', 'mx'],
  ['http.port', 'POSTERN_HTTP_PORT', 'http'],
] as const)('a port in use is one clear error that names the port and %s', async ([key, variable, name]) => {
  const home = await newcomer();
  const other = createServer().listen(home.ports[name], '127.0.0.1');
  try {
    await once(other, 'listening');
    const { code, stderr } = await home.tryStart({ POSTERN_LOG_LEVEL: 'error' });
    expect(code).toBe(1);
    expect(stderr.trim().split('\n')).toEqual([
      `postern: port ${home.ports[name]} on 127.0.0.1 (${key}, ${variable}) is in use by another program`,
      expect.stringContaining(`:${home.ports[name]}`),
      '  end it, or choose another:',
      expect.stringMatching(new RegExp(`^  (POSTERN_\\w+_PORT=\\d+ ){3}${variable}=\\d+ npm start$`)),
    ]);
    expect(existsSync(join(home.folder, 'data'))).toBe(false);
  } finally {
    other.close();
    await home.remove();
  }
});

test('every port in use is told at once, with a line that starts it beside the other Postern', async () => {
  const home = await newcomer();
  try {
    await home.start();
    const beside = { POSTERN_DATA_DIR: join(home.folder, 'data-2') };
    const { code, stderr } = await home.tryStart(beside);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^postern: 4 ports are in use by another Postern:$/m);
    for (const port of Object.values(home.ports)) expect(stderr).toContain(`  port ${port} on 127.0.0.1 (`);
    expect(existsSync(beside.POSTERN_DATA_DIR)).toBe(false);
    const line = stderr.trim().split('\n').at(-1)!;
    const set = Object.fromEntries(
      [...line.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]),
    );
    expect(set).toMatchObject(beside);
    expect(await (await home.start({ env: set })).end('SIGTERM')).toBe(0);
  } finally {
    await home.remove();
  }
});

test.skipIf(process.getuid?.() !== 0)('an ordinary user may do all of it', async () => {
  const uid = Number(/^daemon:[^:]*:(\d+):/m.exec(readFileSync('/etc/passwd', 'utf8'))![1]);
  const home = await newcomer({ uid });
  try {
    const postern = await home.start();
    expect(readFileSync(`/proc/${postern.pid}/status`, 'utf8')).toMatch(
      new RegExp(`^Uid:\\s+${uid}\\b`, 'm'),
    );
    expect(statSync(join(home.folder, 'data/quickstart.json')).uid).toBe(uid);
    expect(await home.postern('send-test', 'bob@example.org')).toMatchObject({ code: 0 });
    expect(await home.postern('held', 'approve', 'latest')).toMatchObject({ code: 0 });
    expect(await postern.end('SIGTERM')).toBe(0);
  } finally {
    await home.remove();
  }
});

test('a certificate is read again on SIGHUP, and a configuration elsewhere is named in every printed line', async () => {
  const home = await newcomer();
  try {
    const postern = await home.start({ env: { POSTERN_DATA_DIR: 'elsewhere' } });
    const lines = copyable(postern.welcome());
    for (const line of lines.filter((one) => one.includes('npm run')))
      expect(line).toMatch(/^POSTERN_DATA_DIR=elsewhere npm run -s postern -- /);
    expect((await home.shell(lines.find((line) => line.endsWith('held list'))!)).code).toBe(0);
    process.kill(postern.pid, 'SIGHUP');
    await expect.poll(() => postern.log()).toContain('certificate read again');
    expect(await postern.end('SIGTERM')).toBe(0);
  } finally {
    await home.remove();
  }
});
