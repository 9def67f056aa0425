/**
 * One data directory of PostgreSQL and the user it belongs to.
 *
 * PostgreSQL refuses to run as root, so under root it runs as the unprivileged user 65534 (or as whoever
 * owns the data already). That user may have no right to walk down to the data: it lies in ./data, which
 * may be in a home of mode 0700. It gets the open directory as file descriptor 3 instead, and reaches it
 * as /proc/self/fd/3, whatever the folders above allow.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import {
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import { clean } from './clean.ts';
import { type As, type Binaries, findBinaries } from './postgres-binaries.ts';

const UNPRIVILEGED = 65_534;
const MAJOR = '18';

export interface Cluster {
  /** PGDATA. */
  folder: string;
  logFile: string;
  as: As;
  binaries: Binaries;
  /** True when this start made it. */
  fresh: boolean;
}

/** Finds the data directory of `dataDir`, or makes it. The caller holds the lock. */
export async function openCluster(dataDir: string): Promise<Cluster> {
  const folder = join(dataDir, 'postgres');
  const fresh = !existsSync(folder);
  const as = runAs(folder);
  const cluster: Cluster = {
    folder,
    logFile: join(dataDir, 'postgres.log'),
    as,
    binaries: findBinaries(as, dataDir),
    fresh,
  };
  if (fresh) await initialise(cluster);
  else refuseOtherVersion(folder);
  return cluster;
}

function runAs(folder: string): As {
  if (process.getuid?.() !== 0) return undefined;
  const owner = statSync(folder, { throwIfNoEntry: false });
  if (owner === undefined) return { uid: UNPRIVILEGED, gid: UNPRIVILEGED };
  if (owner.uid !== 0) return { uid: owner.uid, gid: owner.gid };
  throw new Error(
    `${folder} belongs to root, and PostgreSQL does not run as root: chown -R ${UNPRIVILEGED}:${UNPRIVILEGED} ${folder}`,
  );
}

function refuseOtherVersion(folder: string): void {
  let version: string;
  try {
    version = readFileSync(join(folder, 'PG_VERSION'), 'utf8').trim();
  } catch (err) {
    const reason = (err as NodeJS.ErrnoException).code ?? String(err);
    throw new Error(`${folder} cannot be read as a PostgreSQL data directory (PG_VERSION: ${reason})`);
  }
  if (version !== MAJOR)
    throw new Error(`${folder} was made by PostgreSQL ${version}; this version of Postern brings ${MAJOR}`);
}

/** Made beside its place and renamed, so that a crash half way leaves no data directory that looks whole. */
async function initialise(cluster: Cluster): Promise<void> {
  const draft = `${cluster.folder}.new`;
  rmSync(draft, { recursive: true, force: true });
  mkdirSync(draft, { mode: 0o700 });
  if (cluster.as !== undefined) chownSync(draft, cluster.as.uid, cluster.as.gid);
  // No password: whoever can reach the socket can read the data files as well. TCP is off, and refused besides.
  const how = ['--username=postgres', '--auth-local=trust', '--auth-host=reject'];
  const words = ['--encoding=UTF8', '--no-locale', '--set=log_timezone=UTC', '--set=timezone=UTC'];
  const child = run(cluster.binaries.initdb, [...how, ...words], { ...cluster, folder: draft }, 'pipe');
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const code = await new Promise<number | null>((done, failed) => {
    child.once('error', failed);
    child.once('close', done);
  });
  if (/could not look up effective user/.test(said))
    throw new Error(
      `PostgreSQL does not run as a user without an entry in /etc/passwd (uid ${cluster.as?.uid ?? process.getuid?.()}): add one, or set database.url`,
    );
  if (code !== 0)
    throw new Error(
      `initdb could not make ${cluster.folder}: ${clean(said.trim().split('\n').slice(-4).join(' '))}`,
    );
  renameSync(draft, cluster.folder);
}

/**
 * Runs one of its programs on the data directory. In a session of its own: the Ctrl-C that starts our
 * drain must not end PostgreSQL under it. The environment is ours to give, so PGDATA and the like stay out.
 */
export function run(
  program: string,
  args: string[],
  cluster: Cluster,
  output: 'pipe' | number,
): ChildProcess {
  const fd = openSync(cluster.folder, 'r');
  try {
    const byFd = cluster.as !== undefined && existsSync('/proc/self/fd');
    const options: SpawnOptions = {
      ...cluster.as,
      cwd: '/',
      env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
      detached: true,
      stdio: ['ignore', output, output, fd],
    };
    return spawn(program, ['-D', byFd ? '/proc/self/fd/3' : cluster.folder, ...args], options);
  } finally {
    closeSync(fd);
  }
}
