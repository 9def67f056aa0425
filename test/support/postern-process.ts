import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';

const LAUNCHER = join(import.meta.dirname, '../../cli/postern.js');
const START_MS = 30_000;

export type RoomName = 'gateway' | 'policy' | 'delivery' | 'api';

/** The ports a process says it is bound to, in its `ready` line. */
export interface Bound {
  http: number;
  submission?: number;
  submissionTls?: number;
  mx?: number;
  trusted?: number;
}

export interface PosternProcess {
  readonly pid: number;
  readonly bound: Bound;
  /** Log lines so far, as they were written. */
  log(): string;
  /** SIGKILL, as a crash would. */
  kill(): Promise<void>;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>;
  /** SIGSTOP and SIGCONT: a process that stalls and comes back. */
  freeze(): void;
  thaw(): void;
}

/** A real `postern serve <rooms>`, ready. The configuration is given as what the YAML file would hold. */
export async function startPosternProcess(
  rooms: RoomName[] | 'all',
  config: object,
): Promise<PosternProcess> {
  const home = mkdtempSync(join(tmpdir(), 'postern-process-'));
  const file = join(home, 'postern.yaml');
  writeFileSync(file, stringify({ data_dir: join(home, 'data'), ...config }), { mode: 0o600 });
  const env = Object.entries(process.env).filter(([name]) => !name.startsWith('POSTERN_'));
  const child = spawn(process.execPath, [LAUNCHER, 'serve', ...(rooms === 'all' ? ['all'] : rooms)], {
    cwd: home,
    env: { ...Object.fromEntries(env), POSTERN_CONFIG: file },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const running = watch(child);
  const bound = await running.ready.catch((err: unknown) => {
    child.kill('SIGKILL');
    throw err;
  });
  const end = async (signal: NodeJS.Signals) => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      child.kill(signal);
      await gone;
    }
    rmSync(home, { recursive: true, force: true });
    return child.exitCode;
  };
  return {
    pid: child.pid!,
    bound,
    log: running.log,
    kill: async () => void (await end('SIGKILL')),
    stop: () => end('SIGTERM'),
    freeze: () => void child.kill('SIGSTOP'),
    thaw: () => void child.kill('SIGCONT'),
  };
}

/** Reads what the process says until its `ready` line, and keeps all of it. */
function watch(child: ChildProcess): { ready: Promise<Bound>; log: () => string } {
  let said = '';
  const ready = new Promise<Bound>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`not ready in time:\n${said}`)), START_MS);
    child.once('exit', (code, signal) => {
      clearTimeout(late);
      reject(new Error(`ended with ${code ?? signal} before it was ready:\n${said}`));
    });
    const take = (chunk: Buffer) => {
      said += chunk.toString();
      const line = said.split('\n').find((text) => text.includes('"msg":"ready"'));
      if (line === undefined) return;
      clearTimeout(late);
      resolve(JSON.parse(line) as Bound);
    };
    child.stdout!.on('data', take);
    child.stderr!.on('data', take);
  });
  return { ready, log: () => said };
}
