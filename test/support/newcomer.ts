/**
 * A folder as a newcomer has it after `npm ci`, and what is typed there: a Postern that is started, commands
 * beside it, lines copied from the welcome. The code and the packages are links to this checkout.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, copyFileSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Quickstart } from '../../cli/quickstart-file.ts';
import { freePort } from './redis.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const LINKED = ['core', 'gateway', 'policy', 'delivery', 'api', 'cli', 'node_modules'];
const READY_MS = 30_000;

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  readonly pid: number;
  /** What it has said on standard output so far: the welcome. */
  welcome(): string;
  log(): string;
  readyMs: number;
  /** Sends the signal and waits for the end. */
  end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>;
}

export interface Newcomer {
  readonly folder: string;
  readonly ports: { submission: number; tls: number; mx: number; http: number };
  /** Starts Postern and waits until it is ready. `npm`: by `npm start`, in a process group of its own. */
  start(options?: { npm?: boolean; env?: Record<string, string> }): Promise<Running>;
  /** Starts it without waiting, and returns how it ended. */
  tryStart(env?: Record<string, string>): Promise<Ended>;
  /** `postern <words>` in this folder. */
  postern(...words: string[]): Promise<Ended>;
  /** The JSON that `postern <words> --json` answers, whatever its exit code. */
  json<T>(...words: string[]): Promise<T>;
  /** One line, as bash reads it. */
  shell(line: string): Promise<Ended>;
  quickstart(): Quickstart;
  remove(): Promise<void>;
}

/** `uid`: everything runs as that user, to whom the folder belongs. */
export async function newcomer({ uid }: { uid?: number } = {}): Promise<Newcomer> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-newcomer-'));
  for (const name of LINKED) symlinkSync(join(ROOT, name), join(folder, name));
  copyFileSync(join(ROOT, 'package.json'), join(folder, 'package.json'));
  if (uid !== undefined) chownSync(folder, uid, uid);
  chmodSync(folder, 0o700);
  const ports = {
    submission: await freePort(),
    tls: await freePort(),
    mx: await freePort(),
    http: await freePort(),
  };
  const as = uid === undefined ? {} : { uid, gid: uid };
  const env = {
    ...Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(POSTERN_|npm_|NODE_|VITEST)/.test(name)),
    ),
    HOME: folder,
    POSTERN_SUBMISSION_PORT: String(ports.submission),
    POSTERN_SUBMISSION_TLS_PORT: String(ports.tls),
    POSTERN_MX_PORT: String(ports.mx),
    POSTERN_HTTP_PORT: String(ports.http),
  };
  // whoever types in another terminal has set no ports
  const plain = Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('POSTERN_')));
  const running = new Set<ChildProcess>();

  const spawned = (program: string, args: string[], more: Record<string, string>, group = false) =>
    spawn(program, args, {
      cwd: folder,
      env: { ...more },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: group,
      ...as,
    });
  const run = async (program: string, args: string[], vars: Record<string, string>): Promise<Ended> => {
    const child = spawned(program, args, vars);
    const said = collect(child);
    const [code] = (await once(child, 'close')) as [number | null];
    return { code, stdout: said.stdout(), stderr: said.stderr() };
  };
  const serve = ['cli/postern.js', 'serve', 'all', '--quickstart'];

  const self: Newcomer = {
    folder,
    ports,
    async start({ npm = false, env: more = {} } = {}) {
      const began = performance.now();
      const child = npm
        ? spawned('npm', ['start', '--silent'], { ...env, ...more }, true)
        : spawned(process.execPath, serve, { ...env, ...more });
      running.add(child);
      const said = collect(child);
      await until(() => said.stderr().includes('"msg":"ready"'), child, said);
      return {
        pid: child.pid!,
        welcome: said.stdout,
        log: said.stderr,
        readyMs: performance.now() - began,
        async end(signal) {
          const gone = once(child, 'close');
          if (npm)
            process.kill(-child.pid!, signal); // as a terminal does: to all of the group
          else child.kill(signal);
          await gone;
          running.delete(child);
          return child.exitCode ?? child.signalCode;
        },
      };
    },
    tryStart: (more = {}) => run(process.execPath, serve, { ...env, ...more }),
    postern: (...words) => run(process.execPath, ['cli/postern.js', ...words], plain),
    async json<T>(...words: string[]) {
      const { stdout, stderr } = await self.postern(...words, '--json');
      try {
        return JSON.parse(stdout) as T;
      } catch {
        throw new Error(`not JSON: ${stdout}\n${stderr}`);
      }
    },
    shell: (line) => run('bash', ['-o', 'pipefail', '-c', line], plain),
    quickstart: () => JSON.parse(readFileSync(join(folder, 'data/quickstart.json'), 'utf8')) as Quickstart,
    async remove() {
      for (const child of running) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        const gone = once(child, 'close');
        child.kill('SIGTERM');
        await gone;
      }
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return self;
}

function collect(child: ChildProcess) {
  let stdout = '';
  let stderr = '';
  child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return { stdout: () => stdout, stderr: () => stderr };
}

async function until(
  met: () => boolean,
  child: ChildProcess,
  said: ReturnType<typeof collect>,
): Promise<void> {
  for (const late = Date.now() + READY_MS; !met(); await sleep(10))
    if (Date.now() > late || child.exitCode !== null)
      throw new Error(`not ready:\n${said.stdout()}\n${said.stderr()}`);
}

/** The lines of a welcome that are meant to be copied, without their indentation. */
export function copyable(welcome: string): string[] {
  return welcome
    .split('\n')
    .filter((line) => /^ {2}(printf|swaks|curl|npm|POSTERN_\w+=)/.test(line))
    .map((line) => line.trim());
}
