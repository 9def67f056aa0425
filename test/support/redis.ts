/**
 * A private redis-server: a free loopback port, an append-only file in its own folder, gone
 * when stopped. It can be killed and started again on the same port with what it had on disk.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { onPath } from './needs.ts';

const PROGRAM = 'redis-server';
export const redisAvailable: boolean = onPath(PROGRAM) !== undefined;

export interface TestRedis {
  readonly url: string;
  readonly port: number;
  /** A client to look and meddle with; closed with the server. */
  readonly client: Redis;
  /** SIGKILL, as a crash would. */
  kill(): Promise<void>;
  start(): Promise<void>;
  /** SIGSTOP: connections stay open and nothing answers; thaw() lets it go on. */
  freeze(): void;
  thaw(): void;
  stop(): Promise<void>;
}

/** Extra settings are given as on redis-server's command line: `['--requirepass', 'x']`. */
export async function startRedis(settings: string[] = []): Promise<TestRedis> {
  const program = onPath(PROGRAM);
  if (program === undefined) throw new Error(`${PROGRAM} is not installed`);
  const folder = mkdtempSync(join(tmpdir(), 'postern-redis-'));
  const port = await freePort();
  const password = settings[settings.indexOf('--requirepass') + 1];
  const client = new Redis({
    port,
    host: '127.0.0.1',
    lazyConnect: true,
    retryStrategy: () => 50,
    ...(settings.includes('--requirepass') && password !== undefined ? { password } : {}),
  });
  client.on('error', () => {});
  let server: ChildProcess | undefined;

  const redis: TestRedis = {
    url: `redis://127.0.0.1:${port}`,
    port,
    client,
    async start() {
      const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', ''];
      server = spawn(program, [...fixed, '--appendonly', 'yes', ...settings], { stdio: 'ignore' });
      if (client.status === 'wait') await client.connect().catch(() => {});
      await client.ping(); // waits in the client's offline queue until the server answers
    },
    async kill() {
      if (server === undefined || server.exitCode !== null) return;
      const gone = once(server, 'exit');
      server.kill('SIGKILL');
      await gone;
      server = undefined;
    },
    freeze: () => void server?.kill('SIGSTOP'),
    thaw: () => void server?.kill('SIGCONT'),
    async stop() {
      client.disconnect();
      await redis.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  await redis.start();
  return redis;
}

/** A port nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
