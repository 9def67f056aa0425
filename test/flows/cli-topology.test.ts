import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { freshDatabase } from '../support/database.ts';
import { needs } from '../support/needs.ts';
import { startPosternProcess } from '../support/postern-process.ts';
import { startRedis } from '../support/redis.ts';

const LAUNCHER = join(import.meta.dirname, '../../cli/postern.js');
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

/** What docker-compose.yml starts, without Docker: `migrate`, then one process a room on one PostgreSQL and one Redis. */
test.skipIf(needs('redis-server'))(
  'four processes carry one message from its login to its next hop',
  async () => {
    const database = await freshDatabase({ empty: true });
    ends.push(() => database.drop());
    const redis = await startRedis(['--maxmemory-policy', 'noeviction']);
    ends.push(() => redis.stop());
    const folder = mkdtempSync(join(tmpdir(), 'postern-topology-'));
    ends.push(async () => rmSync(folder, { recursive: true, force: true }));

    const config = {
      hostname: 'mail.topology.test',
      data_dir: join(folder, 'data'),
      database: { url: database.url },
      queue: { url: redis.url },
      submission: { port: 0, tls_port: 0 },
      mx: { port: 0 },
      http: { port: 0 },
    };
    const file = join(folder, 'postern.yaml');
    writeFileSync(file, stringify(config));
    const cli = async <T>(...words: string[]): Promise<T> => {
      const args = [LAUNCHER, ...words, '--json', '--config', file];
      const { stdout } = await promisify(execFile)(process.execPath, args, {
        env: { PATH: process.env.PATH },
      });
      return JSON.parse(stdout) as T;
    };

    expect(await cli('migrate')).toEqual({ migrations: expect.arrayContaining(['0001_spine']) });
    const [gateway, policy, delivery, api] = await Promise.all([
      startPosternProcess(['gateway'], config),
      startPosternProcess(['policy'], config),
      startPosternProcess(['delivery'], config),
      startPosternProcess(['api'], config),
    ]);
    for (const room of [gateway, policy, delivery, api]) ends.push(() => room.stop());

    // as an operator begins: the first key and all accounts come from the command line
    const admin = await cli<{ api_key: string }>('key', 'create', 'admin', '--scopes', 'admin');
    await cli('mailbox', 'add', 'agent@topology.test', '--mode', 'gated_send');
    const login = await cli<{ username: string; password: string }>('login', 'add', 'agent@topology.test');
    const api_ = ['--url', `http://127.0.0.1:${api.bound.http}`, '--key', admin.api_key];

    await cli(
      ...[
        'send-test',
        'ana@example.org',
        '--from',
        'agent@topology.test',
        '--port',
        String(gateway.bound.submission),
      ],
      ...['--username', login.username, '--password', login.password],
      ...['--ca-file', join(folder, 'data/tls/certificate.pem')],
    );
    await expect
      .poll(async () => (await cli<{ held: unknown[] }>('held', 'list', ...api_)).held, { timeout: 10_000 })
      .toHaveLength(1);
    expect(await cli('held', 'approve', 'latest', ...api_)).toMatchObject({ email_status: 'sent' });
    expect(await cli('capture', 'show', 'latest', ...api_)).toMatchObject({
      forward_paths: ['ana@example.org'],
    });

    for (const room of [gateway, policy, delivery, api]) {
      const ready = await fetch(`http://127.0.0.1:${room.bound.http}/healthz/ready`);
      expect([ready.status, await ready.json()]).toEqual([200, expect.objectContaining({ status: 'ok' })]);
      const metrics = await (await fetch(`http://127.0.0.1:${room.bound.http}/metrics`)).text();
      expect(metrics).toContain('postern_');
    }
    expect(await Promise.all([gateway, api, policy, delivery].map((room) => room.stop()))).toEqual([
      0, 0, 0, 0,
    ]);
  },
);
