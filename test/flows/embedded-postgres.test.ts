import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runningPostgres, startEmbeddedPostgres } from '../../core/runtime/embedded-postgres.ts';
import { createLog } from '../../core/runtime/log.ts';
import { findBinaries, packageHome } from '../../core/runtime/postgres-binaries.ts';
import { isAlive, postgresIn } from '../../core/runtime/processes.ts';

const OWNER = fileURLToPath(new URL('../support/postgres-owner.ts', import.meta.url));
const log = createLog({ level: 'silent' });
const root = process.getuid?.() === 0;

let base = '';
let dataDir = '';
const children: ChildProcess[] = [];

beforeEach(() => {
  // of mode 0700: as root, PostgreSQL's own user cannot walk down to its data
  base = mkdtempSync(join(tmpdir(), 'postern-embedded-'));
  dataDir = join(base, 'data');
});

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
  for (const pid of postgresIn(join(dataDir, 'postgres'))) process.kill(pid, 'SIGKILL');
  await sleep(50);
  rmSync(base, { recursive: true, force: true });
});

type Hello = { url: string; pid: number; error?: undefined } | { error: string };

async function owner(folder: string): Promise<{ child: ChildProcess; hello: Hello }> {
  const child = spawn(process.execPath, [OWNER, folder], { stdio: ['ignore', 'pipe', 'inherit'] });
  children.push(child);
  const [line] = (await once(createInterface(child.stdout!), 'line')) as [string];
  return { child, hello: JSON.parse(line) as Hello };
}

async function started(folder: string) {
  const { child, hello } = await owner(folder);
  if (hello.error !== undefined) throw new Error(hello.error);
  return { child, ...hello };
}

async function ask(url: string, statement: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows.map((row) => Object.values(row)[0]);
  } finally {
    await client.end();
  }
}

test('data survives a stop and a start, and a stop leaves no process', async () => {
  const first = await startEmbeddedPostgres({ dataDir, log });
  await ask(first.url, "create table kept as select 'Grüße' as word");
  expect(runningPostgres(dataDir)).toBe(first.url);
  await first.stop();
  expect(isAlive(first.pid)).toBe(false);
  expect(runningPostgres(dataDir)).toBeUndefined();
  const second = await startEmbeddedPostgres({ dataDir, log });
  expect(await ask(second.url, 'select word from kept')).toEqual(['Grüße']);
  await second.stop();
});

test('a commit waits for the disk, TCP is off, only the owner may enter, and our role is no superuser', async () => {
  const postgres = await startEmbeddedPostgres({ dataDir, log, settings: { listen_addresses: '*' } });
  const show = async (name: string) => (await ask(postgres.url, `show ${name}`))[0];
  expect([await show('fsync'), await show('synchronous_commit')]).toEqual(['on', 'on']);
  expect(await show('listen_addresses')).toBe('');
  expect(await ask(postgres.url, 'select rolsuper from pg_roles where rolname = current_user')).toEqual([
    false,
  ]);
  const folder = statSync(join(dataDir, 'postgres'));
  expect(folder.mode & 0o777).toBe(0o700);
  expect(folder.uid).toBe(root ? 65_534 : process.getuid?.());
  await postgres.stop();
});

test('a second process is refused by name, and the first is not disturbed', async () => {
  const first = await started(dataDir);
  const { hello } = await owner(dataDir);
  expect(hello.error).toContain(`${dataDir} is in use by process ${first.child.pid}`);
  expect(await ask(first.url, 'select 1')).toEqual([1]);
  expect(isAlive(first.pid)).toBe(true);
});

test('PostgreSQL that outlived a killed process is stopped, and its data is there', async () => {
  const first = await started(dataDir);
  await ask(first.url, 'create table kept as select 1');
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  expect(isAlive(first.pid)).toBe(true);
  const second = await started(dataDir);
  expect(isAlive(first.pid)).toBe(false);
  expect(await ask(second.url, 'select count(*)::int from kept')).toEqual([1]);
});

test('a stranger who got the old pid is left alone, and does not stop the start', async () => {
  await (await startEmbeddedPostgres({ dataDir, log })).stop();
  const stranger = spawn('sleep', ['60']);
  children.push(stranger);
  const pidFile = join(dataDir, 'postgres/postmaster.pid');
  writeFileSync(pidFile, `${stranger.pid}\n${join(dataDir, 'postgres')}\n1\n5432\n.\n\n  1  1\nready\n`);
  const lock = { pid: stranger.pid, started: 'before' };
  writeFileSync(join(dataDir, 'postgres.lock'), JSON.stringify(lock));
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  expect(await ask(postgres.url, 'select 1')).toEqual([1]);
  expect(isAlive(stranger.pid!)).toBe(true);
  await postgres.stop();
});

test('a server that only its socket gives away, as in another container, is not joined by a second', async () => {
  await (await startEmbeddedPostgres({ dataDir, log })).stop();
  const unseen = createServer().listen(join(dataDir, 'postgres/.s.PGSQL.5432'));
  await once(unseen, 'listening');
  await expect(startEmbeddedPostgres({ dataDir, log })).rejects.toThrow(/in use .*another container/);
  unseen.close();
  await (await startEmbeddedPostgres({ dataDir, log })).stop();
});

test('PostgreSQL that ends by itself is started again', async () => {
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  const before = postgres.pid;
  process.kill(before, 'SIGKILL');
  for (let tries = 0; postgres.pid === before && tries < 200; tries++) await sleep(50);
  expect(postgres.pid).not.toBe(before);
  expect(await ask(postgres.url, 'select 1')).toEqual([1]);
  await postgres.stop();
});

test('SIGINT from a terminal reaches our process group and not PostgreSQL', async () => {
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  const session = (pid: number) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ')[3];
  if (process.platform === 'linux') expect(session(postgres.pid)).toBe(String(postgres.pid));
  await postgres.stop();
});

test('a path too long for a socket is reached by a short one, which stop removes', async () => {
  dataDir = join(base, 'x'.repeat(120), 'data');
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  expect(postgres.socketDir.length).toBeLessThan(90);
  expect(await ask(postgres.url, 'select 1')).toEqual([1]);
  await postgres.stop();
  expect(existsSync(dirname(postgres.socketDir))).toBe(false);
});

test('what a crash during the first start left does not stop the next', async () => {
  mkdirSync(join(dataDir, 'postgres.new/base'), { recursive: true });
  writeFileSync(join(dataDir, 'postgres.new/PG_VERSION'), '18\n');
  const postgres = await startEmbeddedPostgres({ dataDir, log });
  expect(await ask(postgres.url, 'select 1')).toEqual([1]);
  await postgres.stop();
});

test('data of another PostgreSQL version is refused by name', async () => {
  mkdirSync(join(dataDir, 'postgres'), { recursive: true, mode: 0o700 });
  writeFileSync(join(dataDir, 'postgres/PG_VERSION'), '15\n');
  if (root)
    await import('node:fs').then(({ chownSync }) => chownSync(join(dataDir, 'postgres'), 65_534, 65_534));
  await expect(startEmbeddedPostgres({ dataDir, log })).rejects.toThrow(/made by PostgreSQL 15/);
});

test.runIf(root)(
  'binaries nobody else can reach are copied once to a place of ours, links and all',
  async () => {
    const home = join(base, 'package');
    cpSync(packageHome(), home, {
      recursive: true,
      filter: (file) => !/\.so$|\.so\.\d+$/.test(file) || !statSync(file).isSymbolicLink(),
    });
    const version = `0.0.0-test.${process.pid}`;
    writeFileSync(join(home, 'package.json'), JSON.stringify({ version }));
    chmodSync(home, 0o700);
    const find = () => findBinaries({ uid: 65_534, gid: 65_534 }, dataDir, home).postgres;
    const place = dirname(dirname(dirname(find())));
    try {
      expect(place).toMatch(new RegExp(`/postern-postgres-${version}$`));
      expect(statSync(place)).toMatchObject({ uid: 0, mode: 0o40755 });
      const runs = () =>
        spawn(find(), ['--version'], { uid: 65_534, gid: 65_534, stdio: 'ignore', cwd: '/' });
      expect(await once(runs(), 'exit')).toEqual([0, null]);

      // a file that went missing is noticed; a folder another user planted is not touched or trusted
      rmSync(join(place, 'native/bin/initdb'));
      expect(existsSync(join(dirname(find()), 'initdb'))).toBe(true);
      chmodSync(place, 0o777);
      expect(dirname(dirname(dirname(find())))).not.toBe(place);
    } finally {
      for (const folder of ['/var/cache', '/var/lib', tmpdir(), '/tmp'])
        rmSync(join(folder, `postern-postgres-${version}`), { recursive: true, force: true });
    }
  },
);
