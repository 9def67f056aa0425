import { spawn } from 'node:child_process';
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Relay, stop } from './load.ts';
import { pause, tree, until } from './processes.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Ports of one Postern under test. */
export interface Ports {
  trusted: number;
  http: number;
  redis: number;
  /** Where mail for the mailbox comes in; nowhere when left out. */
  mx?: number;
}

/**
 * Postern as `postern serve all` starts it, with its own PostgreSQL: a trusted network on loopback, a
 * monitored mailbox, everything relayed to the sink. Every promise is on.
 */
export async function startPostern(
  backend: 'redis' | 'postgres',
  ports: Ports,
  sinkPort: number,
): Promise<Relay & { dataDir: string; close(): Promise<void> }> {
  const home = mkdtempSync(join(tmpdir(), `bench-postern-${backend}-`));
  const redis = backend === 'redis' ? await startRedis(ports.redis, home) : undefined;
  const file = join(home, 'postern.yaml');
  writeFileSync(file, config(backend, ports, sinkPort, join(home, 'data')));
  const log = openSync(join(home, 'log'), 'w');
  const flags = process.env.BENCH_NODE_FLAGS?.split(' ') ?? [];
  const postern = spawn(process.execPath, [...flags, join(ROOT, 'cli/postern.js'), 'serve', 'all'], {
    cwd: home,
    stdio: ['ignore', log, log],
    env: { ...process.env, POSTERN_CONFIG: file },
  });
  const name = `postern (${backend})`;
  const close = async () => {
    await stop(postern);
    if (redis !== undefined) await stop(redis);
    if (process.env.BENCH_KEEP === undefined) rmSync(home, { recursive: true, force: true });
  };
  try {
    await until(
      `${name} ready`,
      async () => {
        if (postern.exitCode !== null) throw new Error(readFileSync(join(home, 'log'), 'utf8'));
        const answer = await fetch(`http://127.0.0.1:${ports.http}/healthz/ready`).catch(() => undefined);
        await pause(100);
        return answer?.ok === true;
      },
      60,
    );
  } catch (err) {
    await close();
    throw err;
  }
  return {
    name,
    port: ports.trusted,
    dataDir: join(home, 'data'),
    pids: [postern.pid!, ...postmaster(home), ...(redis === undefined ? [] : [redis.pid!])],
    close,
  };
}

/** PostgreSQL may have left our process tree; its pid file has not. */
function postmaster(home: string): number[] {
  const pid = Number(readFileSync(join(home, 'data/postgres/postmaster.pid'), 'utf8').split('\n')[0]);
  return tree([process.pid]).includes(pid) ? [] : [pid];
}

async function startRedis(port: number, folder: string) {
  const redis = spawn(
    'redis-server',
    ['--port', `${port}`, '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes'],
    { stdio: 'ignore' },
  );
  await pause(500);
  if (redis.exitCode !== null) throw new Error(`redis-server did not start on port ${port}`);
  return redis;
}

function config(backend: string, ports: Ports, sinkPort: number, dataDir: string): string {
  return `hostname: bench.localhost
data_dir: ${dataDir}
${backend === 'redis' ? `queue:\n  url: redis://127.0.0.1:${ports.redis}/0\n` : ''}submission: { enabled: false }
mx: ${ports.mx === undefined ? '{ enabled: false }' : `{ port: ${ports.mx} }`}
http: { port: ${ports.http} }
trusted:
  enabled: true
  port: ${ports.trusted}
  networks:
    - { name: bench, cidrs: [127.0.0.0/8], mailbox: sender@bench.example }
mailboxes:
  - { address: sender@bench.example, oversight_mode: monitored }
limits: { message_bytes: 40000000 }
smarthost: { host: 127.0.0.1, port: ${sinkPort}, tls: none }
`;
}
