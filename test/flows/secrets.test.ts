/**
 * A whole journey with secrets that can be recognised, and then a look at everything it left behind: logs, answers,
 * figures, every table, every key in Redis, and what anyone on the machine sees of a process.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createTransport } from 'nodemailer';
import pg from 'pg';
import { expect, test } from 'vitest';
import { stringify } from 'yaml';
import { OPERATIONS } from '../../api/registry.ts';
import { system } from '../../core/mail/actor.ts';
import { loadCertificate } from '../../core/runtime/certificate.ts';
import { createKey, type Scope } from '../../core/store/keys.ts';
import { freshDatabase } from '../support/database.ts';
import { dialogue } from '../support/dialogue.ts';
import { needs } from '../support/needs.ts';
import { startNextHop } from '../support/next-hop.ts';
import { mailedCode } from '../support/notices.ts';
import { type PosternProcess, startPosternProcess } from '../support/postern-process.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';

const LAUNCHER = join(import.meta.dirname, '../../cli/postern.js');
const MAILBOX = 'agent@ours.example';

const canary = (what: string) => `Canary-${what}-${Math.random().toString(36).slice(2)}`;

/** A secret as it is, and as the protocols that carry it write it. */
function formsOf(secret: string): string[] {
  const encoded = ['base64', 'base64url', 'hex'] as const;
  return [secret, encodeURIComponent(secret), ...encoded.map((form) => Buffer.from(secret).toString(form))];
}

test.each(['postgres', 'redis'] as const)(
  'U-08: no secret is left anywhere, with the queue in %s',
  async (queue) => {
    if (queue === 'redis' && needs('redis-server')) return;
    const secrets = {
      database: canary('database'),
      redis: canary('redis'),
      smarthost: canary('smarthost'),
      login: canary('login'),
      mistyped: canary('mistyped'),
      guessedKey: `mm_live_${canary('key')
        .replace(/[^A-Za-z0-9]/g, '')
        .padEnd(32, 'x')
        .slice(0, 32)}`,
    };
    const seen: [where: string, what: string][] = [];
    const closing: (() => unknown)[] = [];
    try {
      const folder = mkdtempSync(join(tmpdir(), 'postern-secrets-'));
      closing.push(() => rmSync(folder, { recursive: true, force: true }));
      const database = await freshDatabase();
      closing.push(() => database.drop());
      const pool = new pg.Pool({ connectionString: database.url, max: 2 });
      pool.on('error', () => {});
      closing.push(() => pool.end());
      const redis = queue === 'redis' ? await startRedis(['--requirepass', secrets.redis]) : undefined;
      if (redis !== undefined) closing.push(() => redis.stop());
      const certificate = await loadCertificate({ hostname: 'hop.example', tls: {} }, folder);
      const hop = await startNextHop({
        starttls: certificate,
        auth: { user: 'postern', password: secrets.smarthost },
        dot: ['451 4.3.0 Later', '250 ok'],
      });
      closing.push(() => hop.close());

      const withPassword = (url: string, password: string) => {
        const changed = new URL(url);
        changed.password = password;
        return changed.href;
      };
      const config = {
        hostname: 'gateway.example',
        log: { level: 'trace' },
        account: { oversight_address: 'boss@remote.example' },
        database: { url: withPassword(database.url, secrets.database) },
        ...(redis !== undefined && { queue: { url: withPassword(redis.url, secrets.redis) } }),
        http: { port: 0 },
        submission: { port: 0, tls_port: 0 },
        mx: { port: 0 },
        mailboxes: [{ address: MAILBOX, oversight_mode: 'gated_send' }],
        smarthost: {
          host: '127.0.0.1',
          port: hop.port,
          username: 'postern',
          password: secrets.smarthost,
          ca_file: certificate.ca_file,
        },
        delivery: { retry: { first_seconds: 1, max_seconds: 1, jitter: 0 } },
      };
      const postern = await startPosternProcess('all', config);
      closing.push(() => postern.stop());
      const keys = await journey(postern, pool, secrets, seen);

      await until('the next hop has the mail', () => hop.taken.length >= 2);
      seen.push(['argv of every process', execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })]);
      seen.push(['config print', printedConfig(folder, config)]);
      seen.push(...(await tables(pool)));
      if (redis !== undefined) seen.push(...(await redisContent(redis)));
      await postern.stop();
      seen.push(['log', postern.log()]);

      expect(postern.log()).toContain('"msg":"attempt"');
      expect(seen.map(([where]) => where)).toEqual(expect.arrayContaining(['/metrics', 'table messages']));
      const told = Object.entries({ ...secrets, ...keys }).flatMap(([name, secret]) =>
        seen.flatMap(([where, text]) =>
          formsOf(secret).some((form) => text.includes(form)) ? [`${name} in ${where}`] : [],
        ),
      );
      expect(told).toEqual([]);
    } finally {
      for (const close of closing.reverse()) await close();
    }
  },
);

/** Mail by SMTP and by REST, held, approved, put off once and sent; and everything that goes wrong on the way. */
async function journey(
  { bound }: PosternProcess,
  pool: pg.Pool,
  secrets: { login: string; mistyped: string; guessedKey: string },
  seen: [string, string][],
): Promise<Record<string, string>> {
  const url = `http://127.0.0.1:${bound.http}`;
  const makeKey = async (name: string, scopes: Scope[]) => {
    const principal = { kind: 'user', name } as const;
    return (await createKey(pool, { name, scopes, principal }, 'live', system('cli'))).apiKey;
  };
  const keys = {
    admin: await makeKey('admin', ['admin']),
    agent: await makeKey('agent', ['send', 'read']),
    reviewer: await makeKey('reviewer', ['oversight']),
  };
  const ask = async (method: string, path: string, key?: string, body?: unknown, headers = {}) => {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
    });
    const text = await response.text();
    seen.push([path.replace(/\?.*/, ''), `${JSON.stringify([...response.headers])}${text}`]);
    return text;
  };

  const login = { mailbox: MAILBOX, username: 'agent', password: secrets.login };
  await ask('POST', '/v1/logins', keys.admin, login);
  await ask('POST', '/v1/logins', keys.admin, { ...login, approval_code: await mailedCode(pool) });
  const transport = createTransport({
    host: '127.0.0.1',
    port: bound.submission,
    requireTLS: true,
    tls: { rejectUnauthorized: false },
    auth: { user: 'agent', pass: secrets.login },
  });
  await transport.sendMail({ from: MAILBOX, to: 'ana@remote.example', subject: 'By SMTP', text: 'x' });
  transport.close();
  const heard = await dialogue(
    bound.submissionTls!,
    `S: 220
     C: EHLO client.example
     S: 250
     C64: agent ${secrets.mistyped}
     S: 535
     C: AUTH LOGIN
     S: 334
     C: ${Buffer.from('agent').toString('base64')}
     S: 334
     C: ${Buffer.from(secrets.mistyped).toString('base64')}
     S: 535
     C: PASS ${secrets.mistyped}
     S: 500
     C64: agent ${secrets.login}
     S: 235`,
    { tls: true },
  );
  seen.push(['SMTP replies', heard.join('\n')]);
  await ask('POST', `/v1/mailboxes/${MAILBOX}/send`, keys.agent, {
    to: 'ana@remote.example',
    subject: 'By REST',
    markdown: 'x',
    idempotency_key: 'once',
  });

  const { guessedKey } = secrets;
  await ask('GET', '/v1/emails', guessedKey);
  await ask('GET', '/v1/emails', keys.agent, undefined, { 'x-api-key': guessedKey });
  await ask('GET', `/v1/emails?api_key=${guessedKey}&limit=x`, keys.agent);
  await ask('POST', '/v1/oversight/decide', keys.reviewer, `{"api_key":"${guessedKey}"`);
  await ask('GET', '/admin/queues/', undefined, undefined, {
    authorization: `Basic ${Buffer.from(`admin:${guessedKey}`).toString('base64')}`,
  });
  await ask('POST', '/v1/logins', keys.admin, {
    mailbox: MAILBOX,
    username: 'agent',
    password: secrets.mistyped,
  });
  await ask('POST', '/v1/logins', keys.admin, { mailbox: MAILBOX, password: `${secrets.mistyped}\0` });

  type Pending = { emails: { id: string }[] };
  const held = async () =>
    (JSON.parse(await ask('GET', '/v1/oversight/pending', keys.reviewer)) as Pending).emails;
  await until('both are held', async () => (await held()).length === 2);
  for (const { id } of await held()) {
    await ask('POST', `/v1/oversight/emails/${id}/approve`, keys.reviewer, {});
    await ask('GET', `/v1/emails/${id}/explain`, keys.admin);
    await ask('GET', `/v1/emails/${id}/raw`, keys.admin);
  }
  for (const { method, path } of OPERATIONS)
    if (method === 'GET' && !path.includes(':')) await ask('GET', path, keys.admin);
  for (const path of ['/metrics', '/health', '/v1/openapi.json', '/admin/queues/api/queues'])
    await ask('GET', path, keys.admin);
  return keys;
}

function printedConfig(folder: string, config: object): string {
  const file = join(folder, 'postern.yaml');
  writeFileSync(file, stringify({ data_dir: folder, ...config }), { mode: 0o600 });
  const env = Object.entries(process.env).filter(([name]) => !name.startsWith('POSTERN_'));
  const run = (...args: string[]) =>
    execFileSync(process.execPath, [LAUNCHER, 'config', ...args], {
      encoding: 'utf8',
      env: { ...Object.fromEntries(env), POSTERN_CONFIG: file },
    });
  return run('print', '--redacted') + run('print', '--redacted', '--json') + run('check');
}

async function tables(pool: pg.Pool): Promise<[string, string][]> {
  const { rows } = await pool.query<{ schema: string; name: string }>(
    `select table_schema as schema, table_name as name from information_schema.tables
      where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')`,
  );
  const found: [string, string][] = [];
  for (const { schema, name } of rows) {
    const content = await pool.query<{ line: string }>(`select t::text as line from "${schema}"."${name}" t`);
    found.push([`table ${name}`, content.rows.map(({ line }) => line).join('\n')]);
  }
  return found;
}

async function redisContent({ client }: TestRedis): Promise<[string, string][]> {
  const found: [string, string][] = [];
  for (const key of await client.keys('*')) {
    const dump = await client.dumpBuffer(key);
    found.push([`Redis ${key}`, `${key} ${dump?.toString('latin1') ?? ''}`]);
  }
  expect(found).not.toEqual([]);
  return found;
}

async function until(what: string, question: () => Promise<boolean> | boolean): Promise<void> {
  for (let tries = 0; !(await question()); tries++) {
    if (tries > 300) throw new Error(`waited in vain until ${what}`);
    await new Promise((go) => setTimeout(go, 50));
  }
}
