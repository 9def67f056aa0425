/**
 * One owner for a folder of data. The lock is a file naming its owner by pid and start time, so a lock
 * left by a killed process is recognised as stale even when its pid has passed to another.
 */
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isAlive, startedAt } from './processes.ts';

export class FolderBusy extends Error {}

interface Owner {
  pid: number;
  started: string;
}

/** Takes the lock or throws `FolderBusy`. `release` gives it back, and does nothing when it is not ours any more. */
export function lockFolder(file: string, what: string): { release(): void } {
  const own = JSON.stringify({ pid: process.pid, started: startedAt(process.pid) ?? '' } satisfies Owner);
  const draft = `${file}.${process.pid}`;
  writeFileSync(draft, `${own}\n`, { mode: 0o644 });
  try {
    // link, not open: the file appears whole, and only if there was none
    for (let attempt = 0; !linked(draft, file); attempt++) {
      const owner = ownerOf(file);
      if (owner !== undefined && lives(owner)) throw busy(what, owner);
      if (attempt === 3) throw new FolderBusy(`${what}: the lock ${file} cannot be taken; remove it`);
      setAside(file, what);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  return {
    release() {
      if (ownerOf(file)?.pid === process.pid) rmSync(file, { force: true });
    },
  };
}

/** The live process that holds this lock, if one does. */
export function lockOwner(file: string): number | undefined {
  const owner = ownerOf(file);
  return owner !== undefined && owner.pid !== process.pid && lives(owner) ? owner.pid : undefined;
}

function linked(draft: string, file: string): boolean {
  try {
    linkSync(draft, file);
    return true;
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw err;
  }
}

/** Two may find the same stale lock: the one who comes second moves a fresh lock, sees it, and puts it back. */
function setAside(file: string, what: string): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw err;
  }
  const owner = ownerOf(aside);
  if (owner !== undefined && lives(owner)) {
    linked(aside, file);
    rmSync(aside, { force: true });
    throw busy(what, owner);
  }
  rmSync(aside, { force: true });
}

function ownerOf(file: string): Owner | undefined {
  try {
    const owner: unknown = JSON.parse(readFileSync(file, 'utf8'));
    const { pid, started } = owner as Partial<Owner>;
    return typeof pid === 'number' && typeof started === 'string' ? { pid, started } : undefined;
  } catch {
    return undefined;
  }
}

function lives({ pid, started }: Owner): boolean {
  return isAlive(pid) && (startedAt(pid) ?? started) === started;
}

function busy(what: string, { pid }: Owner): FolderBusy {
  return new FolderBusy(
    `${what} is in use by process ${pid}; stop that one, or give this one another data_dir`,
  );
}
