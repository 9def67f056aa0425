/**
 * PostgreSQL under our own supervision, for a machine that has only Node.
 *
 *   lock the folder ─▶ stop what a crash left ─▶ initdb (first time) ─▶ postgres ─▶ ready
 *                                                                          │  ▲
 *                                                                          └──┘ ended by itself: started again
 *
 * Reached by a unix socket inside the data directory (mode 0700): who may open the socket may read the
 * files anyway, so there is no password to keep, and no TCP port to guard.
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { FolderBusy, lockFolder } from './folder-lock.ts';
import type { Log } from './log.ts';
import { type Cluster, openCluster } from './postgres-cluster.ts';
import { readPidFile, type Server, startServer, stopLeftovers } from './postgres-server.ts';
import { type Settings, settings } from './postgres-settings.ts';

export interface EmbeddedPostgres {
  /** Of database and role `postern`, which owns it and may make others, and is no superuser. */
  readonly url: string;
  readonly superuserUrl: string;
  readonly socketDir: string;
  /** Of the postmaster; another after it had to be started again. */
  readonly pid: number;
  /** `fast` ends sessions and writes a checkpoint; `immediate` leaves recovery to the next start. */
  stop(mode?: 'fast' | 'immediate'): Promise<void>;
}

/** Throws `FolderBusy` when another live process has PostgreSQL on this folder, without disturbing it. */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  log: Pick<Log, 'info' | 'warn' | 'error'>;
  settings?: Settings;
}): Promise<EmbeddedPostgres> {
  const dataDir = resolve(options.dataDir);
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  const lock = lockFolder(join(dataDir, 'postgres.lock'), dataDir);
  const args = settings(options.settings);
  let address: ReturnType<typeof addressOf> | undefined;
  try {
    const began = Date.now();
    const left = await stopLeftovers(join(dataDir, 'postgres'));
    if (left > 0) options.log.warn({ processes: left }, 'stopped a PostgreSQL that had outlived its Postern');
    const cluster = await openCluster(dataDir);
    address = addressOf(cluster.folder);
    if (await answers(address.socketDir))
      throw new FolderBusy(
        `${dataDir} is in use by a PostgreSQL that cannot be seen from here (another container?); stop that one first`,
      );
    const supervised = supervise(cluster, args, await startServer(cluster, args), options.log);
    try {
      await ensureDatabase(address.url('postgres', 'postgres'));
    } catch (err) {
      await supervised.stop('fast');
      throw err;
    }
    options.log.info(
      { pid: supervised.pid(), ms: Date.now() - began, fresh: cluster.fresh },
      'PostgreSQL is ready',
    );
    const { url, socketDir, forget } = address;
    return {
      url: url('postern', 'postern'),
      superuserUrl: url('postgres', 'postgres'),
      socketDir,
      get pid() {
        return supervised.pid();
      },
      async stop(mode = 'fast') {
        await supervised.stop(mode);
        forget();
        lock.release();
      },
    };
  } catch (err) {
    address?.forget();
    lock.release();
    throw err;
  }
}

/** The URL of the PostgreSQL that another process of this user runs on the folder; undefined when none is ready. */
export function runningPostgres(dataDir: string): string | undefined {
  const folder = join(resolve(dataDir), 'postgres');
  const file = readPidFile(folder);
  return file?.isReadyAs(file.pid) === true ? addressOf(folder).url('postern', 'postern') : undefined;
}

const RESTARTS_MS = [0, 100, 500, 1000, 5000];

function supervise(cluster: Cluster, args: string[], first: Server, log: Pick<Log, 'warn' | 'error'>) {
  let server = first;
  let stopping = false;
  let restarting: Promise<void> = Promise.resolve();
  const lastResort = () => server.signal('SIGINT');
  process.once('exit', lastResort);

  const watch = () =>
    void server.ended.then((how) => {
      if (stopping) return;
      log.error({ how }, 'PostgreSQL ended by itself; starting it again');
      restarting = restart();
    });
  const restart = async () => {
    for (let attempt = 0; !stopping; attempt++) {
      await sleep(RESTARTS_MS[Math.min(attempt, RESTARTS_MS.length - 1)]);
      try {
        await stopLeftovers(cluster.folder);
        server = await startServer(cluster, args);
        return watch();
      } catch (err) {
        log.error({ err, attempt }, 'PostgreSQL could not be started again');
      }
    }
  };
  watch();
  return {
    pid: () => server.pid,
    async stop(mode: 'fast' | 'immediate') {
      stopping = true;
      await restarting;
      process.removeListener('exit', lastResort);
      await end(server, mode);
    },
  };
}

async function end(server: Server, mode: 'fast' | 'immediate'): Promise<void> {
  server.ref();
  const steps = [
    ['SIGINT', 30_000],
    ['SIGQUIT', 5_000],
    ['SIGKILL', 5_000],
  ] as const;
  for (const [signal, patience] of mode === 'fast' ? steps : steps.slice(1)) {
    server.signal(signal);
    const patienceOver = new AbortController();
    await Promise.race([
      server.ended,
      sleep(patience, undefined, { signal: patienceOver.signal }).catch(() => {}),
    ]);
    patienceOver.abort();
    if (server.hasEnded()) return;
  }
}

/** sun_path holds 104 bytes on macOS and 108 on Linux, the end mark included. */
const SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107;

/** How clients get there. A folder whose path is too long for a socket is reached by a short link. */
function addressOf(folder: string) {
  const fits = Buffer.byteLength(join(folder, '.s.PGSQL.5432')) <= SOCKET_PATH_BYTES;
  const link = fits ? undefined : mkdtempSync(join(tmpdir(), 'postern-'));
  if (link !== undefined) symlinkSync(folder, join(link, 'pg'));
  const socketDir = link === undefined ? folder : join(link, 'pg');
  return {
    socketDir,
    url: (user: string, name: string) =>
      `postgresql://${user}@localhost/${name}?host=${encodeURIComponent(socketDir)}`,
    forget: () => void (link === undefined || rmSync(link, { recursive: true, force: true })),
  };
}

/** Two servers on one data directory destroy it, and pids tell nothing across containers: the socket does. */
function answers(socketDir: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(join(socketDir, '.s.PGSQL.5432'));
    socket.once('connect', () => done(true)).once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** Asked at every start, since a crash may have come between initdb and this. */
async function ensureDatabase(superuserUrl: string): Promise<void> {
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    const { rows } = await client.query<{ role: boolean; database: boolean }>(
      `select exists (select from pg_roles where rolname = 'postern') as role,
              exists (select from pg_database where datname = 'postern') as database`,
    );
    if (!rows[0]!.role) await client.query('create role postern login createdb');
    if (!rows[0]!.database) await client.query('create database postern owner postern');
  } finally {
    await client.end();
  }
}
