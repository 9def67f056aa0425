import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AuditEntry, Capture, Pending } from '../../cli/api-shapes.ts';
import { type Newcomer, newcomer, type Running } from '../support/newcomer.ts';
import { freePort } from '../support/redis.ts';

interface Problem {
  error: { code: string; message: string; hint?: string };
}

let home: Newcomer;
let postern: Running;

beforeAll(async () => {
  home = await newcomer();
  postern = await home.start();
});
afterAll(() => home.remove());

async function submit(subject: string): Promise<string> {
  expect(await home.postern('send-test', 'ana@example.org', '--subject', subject)).toMatchObject({ code: 0 });
  const { held } = await home.json<{ held: Pending[] }>('held', 'list');
  const message = held.find((one) => one.subject === subject);
  expect(message, subject).toBeDefined();
  return message!.id;
}

describe('what is held', () => {
  test('is shown whole, and approved as it was shown', async () => {
    const id = await submit('please approve');
    const { code, stdout } = await home.postern('held', 'show', id);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^to +ana@example\.org$/m);
    expect(stdout).toContain('  | If you can read this');
    const shown = await home.json<{ content_digest: string }>('held', 'show', id);
    expect(await home.json('held', 'approve', id, '--reason', 'fine')).toMatchObject({
      id,
      email_status: 'sent',
      approved_by: 'reviewer',
      content_digest: shown.content_digest,
    });
    const { captures } = await home.json<{ captures: Capture[] }>('capture', 'list');
    expect(captures[0]).toMatchObject({ message_id: id, subject: 'please approve' });
    const raw = await home.postern('capture', 'show', captures[0]!.id, '--raw');
    expect(raw.stdout).toMatch(/^Received: .*\r\n/m);
  });

  test('is not approved under another digest than the one that was seen', async () => {
    const id = await submit('seen before');
    const refused = await home.postern('held', 'approve', id, '--digest', '0'.repeat(64));
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('nothing was decided') });
    expect((await home.json<{ held: Pending[] }>('held', 'list')).held.map((one) => one.id)).toContain(id);
  });

  test('is rejected with a reason only', async () => {
    const id = await submit('please reject');
    expect(await home.postern('held', 'reject', id)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('a rejection needs a reason'),
    });
    expect(await home.json('held', 'reject', id, '--reason', 'not now')).toMatchObject({
      email_status: 'rejected',
    });
    expect(await home.json<Problem>('held', 'approve', id)).toMatchObject({
      error: { code: 'already_decided' },
    });
  });

  test('is not approved by a key that may only send', async () => {
    const id = await submit('by the agent');
    const { code, stderr } = await home.postern(
      'held',
      'approve',
      id,
      '--key',
      home.quickstart().api.agent_key,
    );
    expect(code).toBe(1);
    expect(stderr).toMatch(/needs a key with the scope oversight/);
    expect(stderr).toContain('postern key');
  });
});

describe('the queue', () => {
  test('tells where a message is, why, and what happens next', async () => {
    const id = await submit('where is it');
    expect((await home.postern('queue', 'list')).stdout).toMatch(/^\d+ held, the oldest since /m);
    expect((await home.postern('queue', 'show', id)).stdout).toMatch(/^state +held$/m);
    const { stdout } = await home.postern('queue', 'explain', 'latest');
    expect(stdout).toContain(`${id} is held.`);
    expect(stdout).toContain('may approve or reject it');
    const times = stdout.match(/\d{4}-\d\d-\d\d\S*(?: \S*Z)?/g);
    expect(times).toEqual([expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ$/)]);
    expect((await home.postern('queue', 'list')).stdout).toMatch(new RegExp(`^${id} .* held `, 'm'));
  });

  test('means the newest mail by latest, not the report about it', async () => {
    const id = await submit('no, thank you');
    expect((await home.postern('held', 'reject', id, '--reason', 'no')).stdout).toContain('never sent');
    await expect
      .poll(async () => (await home.postern('queue', 'list', '--all')).stdout)
      .toMatch(/ available .* Your message was not approved/);
    expect(await home.json('queue', 'show', 'latest')).toMatchObject({ id, state: 'rejected' });
    expect((await home.postern('queue', 'explain', 'latest')).stdout).toContain(`${id} is rejected.`);
  });

  test('lets go of a message that is cancelled, and of no other', async () => {
    const id = await submit('never mind');
    expect(await home.json('queue', 'cancel', id)).toMatchObject({ id, status: 'cancelled' });
    expect(await home.json<Problem>('held', 'approve', id)).toMatchObject({
      error: { code: 'wrong_status' },
    });
    expect((await home.postern('queue', 'retry', id)).code).toBe(1);
    expect((await home.postern('queue', 'resume-route', 'capture')).stderr).toContain(
      'No route of this name is paused',
    );
  });
});

describe('mailboxes, keys and logins', () => {
  test('a mailbox is made, tightened and loosened on the machine itself, and all of it is audited', async () => {
    expect(
      (await home.postern('mailbox', 'add', 'ci@postern.test', '--mode', 'monitored', '--allow', '*@x.test'))
        .code,
    ).toBe(0);
    expect((await home.postern('mailbox', 'set-mode', 'ci@postern.test', 'gated_all')).stdout).toContain(
      'is gated_all now, was monitored',
    );
    expect((await home.postern('mailbox', 'set-mode', 'ci@postern.test', 'autonomous')).stdout).toContain(
      'was gated_all',
    );
    const { entries } = await home.json<{ entries: AuditEntry[] }>('audit', 'list', '--action', 'mode.*');
    expect(entries.map(({ action, actor }) => [action, actor.name])).toEqual([
      ['mode.upgraded', expect.stringMatching(/^cli:/)],
      ['mode.tightened', expect.stringMatching(/^cli:/)],
    ]);
    expect(await home.json<Problem>('mailbox', 'add', 'CI@postern.test')).toMatchObject({
      error: { code: 'address_in_use' },
    });
  });

  test('a mailbox takes any mode here, and is deleted for good only when that is said twice', async () => {
    const made = await home.json<{ id: string }>(
      'mailbox',
      'create',
      'brief@postern.test',
      '--mode',
      'autonomous',
    );
    expect(made).toMatchObject({ oversight_mode: 'autonomous' });
    expect((await home.postern('mailbox', 'delete', 'brief@postern.test')).code).toBe(2);
    expect(await home.json<object>('mailbox', 'delete', 'brief@postern.test', '--yes')).toEqual({
      id: made.id,
      address: 'brief@postern.test',
      status: 'deleted',
    });
    expect((await home.postern('mailbox', 'list')).stdout).not.toContain('brief@');
    expect(await home.json<Problem>('mailbox', 'create', 'brief@postern.test')).toMatchObject({
      error: { code: 'address_in_use' },
    });
  });

  test('settings of a mailbox are changed one by one, taken away again, and audited', async () => {
    const set = (...words: string[]) => home.json<object>('mailbox', 'set', 'ci@postern.test', ...words);
    expect(
      await set('--route', 'capture', '--oversight-address', 'Boss@Postern.TEST', '--display-name', 'The CI'),
    ).toMatchObject({ route: 'capture', oversight_address: 'Boss@postern.test', display_name: 'The CI' });
    expect(
      await set('--route', '', '--hold-expiry-hours', '24', '--gate-timing', 'schedule_first'),
    ).toMatchObject({
      route: null,
      display_name: 'The CI',
      hold_expiry_hours: 24,
      gate_timing: 'schedule_first',
    });
    expect(await set('--route', 'nowhere')).toMatchObject({
      error: { message: 'no route is called nowhere', hint: 'there are capture' },
    });
    expect(await set('--hold-expiry-hours', '0')).toMatchObject({ error: { code: 'usage' } });
    expect(await set()).toMatchObject({ error: { message: 'nothing to set' } });
    const log = await home.postern('audit', 'export', '--action', 'mailbox.updated');
    expect(
      log.stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).metadata),
    ).toMatchObject([
      { route: { from: null, to: 'capture' }, displayName: { to: 'The CI' } },
      { route: { from: 'capture', to: null }, holdExpiryHours: { from: 168, to: 24 } },
    ]);
  });

  test('the allowlist of a mailbox is added to and taken from, and all of it is audited', async () => {
    const allow = (verb: string, ...words: string[]) =>
      home.json<object>('mailbox', 'allow', verb, 'agent@postern.test', ...words);
    expect(await allow('add', 'Bob@X.test', '@partner.test')).toMatchObject({
      added: ['bob@x.test', '*@partner.test'],
    });
    expect(await allow('add', 'bob@x.test')).toMatchObject({ added: [] });
    expect((await home.postern('send-test', 'eve@partner.test', '--subject', 'to a partner')).code).toBe(0);
    await expect.poll(async () => (await home.postern('capture', 'list')).stdout).toContain('to a partner');
    expect(await allow('remove', '*@partner.test')).toMatchObject({ removed: ['*@partner.test'] });
    expect(await allow('list')).toMatchObject({ allowed: [{ pattern: 'bob@x.test' }] });
    expect(await allow('remove', '*@partner.test')).toMatchObject({ error: { code: 'not_found' } });
    expect(await allow('add', '*@test')).toMatchObject({ error: { message: '*@test is no pattern' } });
    const log = await home.postern('audit', 'export', '--action', 'allowlist.*', '--format', 'csv');
    expect(log.stdout.match(/allowlist\.\w+/g)).toEqual([
      'allowlist.added', // of the mailbox made above
      'allowlist.added',
      'allowlist.added',
      'allowlist.removed',
    ]);
  });

  test('a key does what its scopes say until it is revoked', async () => {
    const { api_key, id } = await home.json<{ api_key: string; id: string }>(
      'key',
      'create',
      'audit-reader',
      '--scopes',
      'admin',
    );
    expect((await home.postern('audit', 'list', '--key', api_key)).code).toBe(0);
    expect((await home.postern('key', 'revoke', id)).code).toBe(0);
    expect(await home.json<Problem>('audit', 'list', '--key', api_key)).toMatchObject({
      error: { code: 'revoked_key', hint: expect.stringContaining('--key') },
    });
    expect((await home.postern('key', 'list')).stdout).not.toContain(api_key);
  });

  test('nothing is sent while the account is stopped', async () => {
    const stop = ['account', 'stop-sending', '--reason', 'holidays'];
    expect(await home.json(...stop)).toEqual({ sending_disabled: true, changed: true });
    expect((await home.postern(...stop)).stdout).toBe('As before nothing is sent.\n');
    await sleep(1_100); // for so long a login is known
    expect(await home.postern('send-test', 'ana@example.org', '--subject', 'stopped')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('550 5.7.1 Sending is switched off'),
    });
    expect(await home.json('account', 'allow-sending')).toEqual({ sending_disabled: false, changed: true });
    await sleep(1_100);
    await submit('on its way again');
  });

  test('a login sends as its mailbox until it is revoked', async () => {
    await home.postern('mailbox', 'add', 'bot@postern.test', '--mode', 'autonomous');
    const login = await home.json<{ username: string; password: string }>('login', 'add', 'bot@postern.test');
    const send = ['send-test', 'ana@example.org', '--username', login.username, '--password', login.password];
    expect((await home.postern(...send, '--from', 'bot@postern.test')).code).toBe(0);
    const line = `node cli/postern.js send-test ana@example.org --username ${login.username} --from bot@postern.test`;
    expect((await home.shell(`POSTERN_SEND_PASSWORD=${login.password} ${line}`)).code).toBe(0);
    expect((await home.shell(`POSTERN_SEND_PASSWORD=another-password ${line}`)).stderr).toContain('535');
    expect((await home.postern(...send, '--from', 'ci@postern.test')).stderr).toMatch(
      /refused it: 5\d\d 5\.7\.1/,
    );
    expect((await home.postern('login', 'revoke', login.username)).code).toBe(0);
    expect((await home.postern(...send, '--from', 'bot@postern.test')).stderr).toMatch(/refused it: 535/);
  });
});

describe('the person behind an SMTP login', () => {
  test('cannot approve its mail with a key of their own', async () => {
    await home.postern('mailbox', 'add', 'desk@postern.test');
    const login = await home.json<{ username: string; password: string; owner: string }>(
      ...['login', 'add', 'desk@postern.test', '--owner', 'rita'],
    );
    expect(login.owner).toBe('rita');
    const again = [
      'login',
      'add',
      'desk@postern.test',
      '--agent',
      'desk@postern.test',
      '--username',
      'desk-2',
    ];
    expect((await home.postern(...again, '--owner', 'tom')).stdout).toMatch(/^owner +rita\n\(.*keeps it/m);
    const key = async (user: string) =>
      (
        await home.json<{ api_key: string }>(
          ...['key', 'create', `of ${user}`, '--user', user, '--scopes', 'oversight,read'],
        )
      ).api_key;
    const send = ['send-test', 'ana@example.org', '--from', 'desk@postern.test', '--subject', 'of rita'];
    const sent = await home.postern(...send, '--username', login.username, '--password', login.password);
    expect(sent.code).toBe(0);
    const { held } = await home.json<{ held: Pending[] }>('held', 'list', '--mailbox', 'desk@postern.test');
    const id = held[0]!.id;
    const decide = async (key: string) => {
      const { url } = home.quickstart().api;
      const headers = { authorization: `Bearer ${key}` };
      const response = await fetch(`${url}/v1/oversight/emails/${id}/approve`, { method: 'POST', headers });
      return [response.status, ((await response.json()) as { code?: string }).code];
    };
    expect(await decide(await key('rita'))).toEqual([403, 'self_approval']);
    expect((await decide(await key('tom')))[0]).toBe(200);
  });
});

describe('the audit log', () => {
  test('is written to a file that only its owner may read, as NDJSON or CSV', async () => {
    expect((await home.postern('audit', 'export', '--output', 'audit.ndjson')).code).toBe(0);
    const lines = readFileSync(join(home.folder, 'audit.ndjson'), 'utf8').trim().split('\n');
    expect(lines.length).toBeGreaterThan(5);
    const actions = lines.map((line) => (JSON.parse(line) as AuditEntry).action);
    expect(actions.indexOf('mailbox.created')).toBeLessThan(actions.indexOf('message.accepted'));
    expect((await home.postern('audit', 'export', '--format', 'csv')).stdout).toMatch(
      /^id,created_at,action,/,
    );
  });
});

describe('what can be shown to have been so', () => {
  test('the audit log is intact, and a receipt says who approved what', async () => {
    expect(await home.json('audit', 'verify')).toMatchObject({ findings: [] });
    writeFileSync(join(home.folder, 'kept.json'), JSON.stringify({ checkpoints: [{ id: 'X', hash: 'y' }] }));
    expect(await home.postern('audit', 'verify', '--against', 'kept.json')).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('the log was cut short'),
    });

    const id = await submit('with a receipt');
    await home.postern('held', 'approve', id);
    const { decisions, content_digest } = await home.json<{
      decisions: { receipt: string }[];
      content_digest: string;
    }>('held', 'show', id);
    const { receipt } = decisions[0]!;
    const verify = (...more: string[]) => home.postern('receipt', 'verify', ...more);
    expect(await verify(receipt, '--digest', content_digest)).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('reviewer'),
    });
    expect((await verify(receipt, '--digest', '0'.repeat(64))).code).toBe(1);
    const [payload, signature] = receipt.split('.') as [string, string];
    const forged = Buffer.from(payload, 'base64url').toString().replace('reviewer', 'somebody');
    expect(await verify(`${Buffer.from(forged).toString('base64url')}.${signature}`)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('changed or made up'),
    });
    expect((await verify('no.receipt')).code).toBe(1);
  });
});

describe('a command that cannot be done', () => {
  test('says that nothing runs at the address, and how to start it', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const ended = await home.postern('held', 'list', '--url', url, '--key', 'k');
    expect(ended).toMatchObject({ code: 1, stdout: '' });
    expect(ended.stderr).toContain(`nothing answers at ${url} — is Postern running?`);
    expect(ended.stderr).toContain('npm start');
  });

  test('says so when another program answers', async () => {
    const { ports } = home;
    const ended = await home.postern('held', 'list', '--url', `http://127.0.0.1:${ports.mx}`, '--key', 'k');
    expect(ended.code).toBe(1);
    const other = createServer((socket) =>
      socket.end('HTTP/1.1 502 Bad Gateway\r\nContent-Length: 2\r\n\r\nno'),
    );
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as { port: number };
    const json = await home.json<Problem>('held', 'list', '--url', `http://127.0.0.1:${port}`, '--key', 'k');
    expect(json.error).toMatchObject({ code: 'not_postern', message: expect.stringContaining('502') });
    other.close();
  });
});

describe('the rest', () => {
  test('the configuration is printed without a secret, and every setting explained', async () => {
    const { stdout } = await home.shell(
      'POSTERN_SMARTHOST_HOST=relay.test POSTERN_SMARTHOST_USERNAME=u POSTERN_SMARTHOST_PASSWORD=hush POSTERN_DATABASE_URL=postgresql://u:hush@db/x node cli/postern.js config print --redacted',
    );
    expect(stdout).toContain('relay.test');
    expect(stdout).not.toContain('hush');
    expect((await home.postern('config', 'reference')).stdout).toContain('POSTERN_SUBMISSION_PORT');
    expect(await home.json('config', 'check')).toEqual({ status: 'good' });
  });

  test('the doctor finds a running Postern well, and says what is wrong with a stopped one', async () => {
    // nothing names the ports here, as in another terminal: data/quickstart.json does
    const { code, stdout } = await home.postern('doctor');
    expect(stdout).not.toMatch(/^bad/m);
    expect(code).toBe(0);
    for (const check of [
      'configuration',
      'running',
      'database',
      'clock',
      'queue',
      'submission',
      'mx',
      'certificate',
      'disk',
    ])
      expect(stdout).toMatch(new RegExp(`^good +${check} `, 'm'));
    const set = `POSTERN_HTTP_PORT=${home.ports.http}`;
    expect((await home.shell(`${set} node cli/postern.js doctor --health`)).code).toBe(0);
    const elsewhere = await home.shell('POSTERN_URL=http://127.0.0.1:9 node cli/postern.js doctor');
    expect(elsewhere).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/^bad +running +nothing answers at http:\/\/127\.0\.0\.1:9$/m),
    });
    const sick = await home.shell('POSTERN_HTTP_PORT=9 node cli/postern.js doctor --health --json');
    expect(sick.code).toBe(1);
    expect(JSON.parse(sick.stdout)).toMatchObject({
      status: 'bad',
      findings: [{ check: 'running', state: 'bad' }],
    });
  });

  test('the database is up to date, and the version is told', async () => {
    expect(await home.json('migrate')).toEqual({ migrations: [] });
    expect(await home.json('version')).toMatchObject({
      version: '0.1.0',
      node: expect.stringMatching(/^24\./),
    });
  });

  test('the sink takes mail, tells it and keeps it', async () => {
    const sink: ChildProcess = spawn(
      process.execPath,
      ['cli/postern.js', 'sink', '--port', '0', '--count', '1', '--save', 'kept', '--json'],
      {
        cwd: home.folder,
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let said = '';
    sink.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await expect.poll(() => said).toContain('listening');
    const port = /"port": (\d+)/.exec(said)![1];
    const sent = await home.shell(
      `printf 'Subject: to the sink\\r\\n\\r\\nhi\\r\\n' | curl -sS smtp://127.0.0.1:${port} --mail-from a@x.test --mail-rcpt b@x.test --upload-file -`,
    );
    expect(sent).toMatchObject({ code: 0 });
    await once(sink, 'close');
    expect(said).toContain('"subject":"to the sink"');
    expect(readdirSync(join(home.folder, 'kept'))).toHaveLength(1);
  });

  test('nothing of this stands in the log: no password, no key, no text of mail', () => {
    const { submission, api } = home.quickstart();
    for (const secret of [
      submission.password,
      api.admin_key,
      api.agent_key,
      api.reviewer_key,
      'If you can read this',
    ])
      expect(postern.log()).not.toContain(secret);
  });
});

test('under an older Node the launcher hands over to the one npm has brought', async () => {
  const [, stated] = /^v(\d+)/.exec((await home.shell('/usr/bin/node --version')).stdout) ?? [];
  if (stated === undefined || Number(stated) >= 24) return; // nothing older here
  const { code, stdout } = await home.shell('/usr/bin/node cli/postern.js version --json');
  expect(code).toBe(0);
  expect(JSON.parse(stdout).node).toMatch(/^24\./);
  const refused = await home.shell('/usr/bin/node cli/postern.js held lst');
  expect(refused.code).toBe(2);
});
