/** What can be known about other processes of this machine, by /proc where there is one. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync, type Stats, statSync } from 'node:fs';
import { basename } from 'node:path';

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (err) {
    // EPERM: there, but not ours to signal
    return (err as NodeJS.ErrnoException).code === 'EPERM';
  }
  return statOf(pid)?.[0] !== 'Z';
}

/**
 * When a process began, in a form that is only good for comparing: together with the pid it names one
 * process for ever, where the pid alone may pass to another. Undefined when there is no such process.
 */
export function startedAt(pid: number): string | undefined {
  if (process.platform === 'linux') return statOf(pid)?.[19];
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim() || undefined;
  } catch {
    return undefined;
  }
}

/** Every postgres process that works in `folder`: postmaster, backends, whatever a crash left behind. */
export function postgresIn(folder: string): number[] {
  const wanted = attempt(() => statSync(folder));
  if (wanted === undefined) return [];
  if (process.platform !== 'linux') return postgresByCommand(folder);
  return (attempt(() => readdirSync('/proc')) ?? [])
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => isPostgresIn(pid, wanted));
}

function isPostgresIn(pid: number, folder: Stats): boolean {
  const program = attempt(() => basename(readlinkSync(`/proc/${pid}/exe`)));
  // an upgraded package leaves "postgres (deleted)"
  if (program?.split(' ')[0] !== 'postgres') return false;
  const cwd = attempt(() => statSync(`/proc/${pid}/cwd`));
  return cwd !== undefined && cwd.dev === folder.dev && cwd.ino === folder.ino;
}

function postgresByCommand(folder: string): number[] {
  const lines = attempt(() => execFileSync('ps', ['-axo', 'pid=,command='], { encoding: 'utf8' })) ?? '';
  return lines
    .split('\n')
    .filter((line) => /\bpostgres\b/.test(line) && line.includes(`-D ${folder} `))
    .map((line) => Number.parseInt(line, 10));
}

/** The fields of /proc/pid/stat from the state on; the name before them may hold anything. */
function statOf(pid: number): string[] | undefined {
  const stat = attempt(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
}

function attempt<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch {
    return undefined;
  }
}
