/** One run of the postgres program, from its start to its end. */
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clean } from './clean.ts';
import { type Cluster, run } from './postgres-cluster.ts';
import { isAlive, postgresIn } from './processes.ts';

export interface Server {
  readonly pid: number;
  readonly ended: Promise<string>;
  hasEnded(): boolean;
  signal(name: NodeJS.Signals): void;
  /** Keeps our process waiting for it; until then it does not. */
  ref(): void;
}

const LOG_BYTES = 10 * 1024 * 1024;

/** Resolves when it takes connections, however long its recovery lasts; throws when it ends before. */
export async function startServer(cluster: Cluster, args: string[]): Promise<Server> {
  const server = launch(cluster, args);
  for (;;) {
    if (server.hasEnded())
      throw new Error(`PostgreSQL did not start (${await server.ended}): ${lastLines(cluster.logFile)}`);
    if (readPidFile(cluster.folder)?.isReadyAs(server.pid) === true) return server;
    await sleep(5);
  }
}

function launch(cluster: Cluster, args: string[]): Server {
  const log = openLog(cluster.logFile);
  let child: ChildProcess;
  try {
    child = run(cluster.binaries.postgres, args, cluster, log);
  } finally {
    closeSync(log);
  }
  let over = false;
  const ended = new Promise<string>((done) => {
    const end = (how: string) => {
      over = true;
      done(how);
    };
    child.once('error', (err) => end(err.message));
    child.once('exit', (code, signal) => end(signal ?? `exit ${code}`));
  });
  child.unref();
  return {
    pid: child.pid ?? -1,
    ended,
    hasEnded: () => over,
    signal: (name) => void (over || child.kill(name)),
    ref: () => child.ref(),
  };
}

function openLog(file: string): number {
  if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) > LOG_BYTES) renameSync(file, `${file}.1`);
  return openSync(file, 'a', 0o600);
}

function lastLines(file: string): string {
  try {
    return clean(readFileSync(file, 'utf8').trim().split('\n').slice(-5).join(' / '));
  } catch {
    return `see ${file}`;
  }
}

/** postmaster.pid: the pid first, "ready" as the eighth line. */
export function readPidFile(folder: string): { pid: number; isReadyAs(pid: number): boolean } | undefined {
  try {
    const lines = readFileSync(join(folder, 'postmaster.pid'), 'utf8').split('\n');
    const pid = Number.parseInt(lines[0] ?? '', 10);
    return { pid, isReadyAs: (other) => pid === other && lines[7]?.trim() === 'ready' };
  } catch {
    return undefined;
  }
}

/**
 * A postgres that outlived its Postern (kill -9, the OOM killer) is stopped, with the sessions and locks
 * of the process that is gone. Whether it is one is seen by its program and its working directory, never
 * by the pid alone, which may have passed to a stranger. Returns how many processes it found.
 */
export async function stopLeftovers(folder: string): Promise<number> {
  const file = readPidFile(folder);
  const found = postgresIn(folder);
  if (found.length > 0) {
    const postmaster = file !== undefined && found.includes(file.pid) ? [file.pid] : found;
    for (const [signal, patience] of [
      ['SIGINT', 20_000],
      ['SIGQUIT', 5_000],
      ['SIGKILL', 5_000],
    ] as const) {
      for (const pid of signal === 'SIGKILL' ? postgresIn(folder) : postmaster) send(pid, signal);
      if (await gone(folder, patience)) break;
    }
  }
  // PostgreSQL would take a stranger with the old pid for itself and refuse to start.
  const left = readPidFile(folder);
  if (left !== undefined && isAlive(left.pid) && postgresIn(folder).length === 0)
    for (const name of ['postmaster.pid', '.s.PGSQL.5432.lock']) rmSync(join(folder, name), { force: true });
  return found.length;
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // gone meanwhile
  }
}

async function gone(folder: string, patience: number): Promise<boolean> {
  for (const until = Date.now() + patience; Date.now() < until; await sleep(20))
    if (postgresIn(folder).length === 0) return true;
  return false;
}
