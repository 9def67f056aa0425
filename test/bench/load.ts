import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { cpuSeconds, pause, until } from './processes.ts';

/** What is asked of a relay: `messages` of `size` bytes over `sessions` connections, kept open or one a message. */
export interface Load {
  messages: number;
  size: number;
  sessions: number;
  keep: boolean;
}

/** A relay under test: where it listens, and the processes whose CPU is its cost. */
export interface Relay {
  name: string;
  port: number;
  pids: number[];
}

export interface Result {
  relay: string;
  /** Messages a second until the last was accepted, and until the last had arrived at the sink. */
  acceptedPerSecond: number;
  drainedPerSecond: number;
  cpuSecondsPer1000: number;
  /** The same for each root process of the relay, in the order of `pids`. */
  cpuParts: number[];
  duplicates: number;
}

/** Postfix's smtp-sink, counting what arrives. */
export interface Sink {
  count(): number;
  close(): Promise<void>;
}

export async function startSink(port: number): Promise<Sink> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-sink-'));
  const file = openSync(join(folder, 'count'), 'w+');
  const user = process.getuid?.() === 0 ? ['-u', 'nobody'] : [];
  const sink = spawn(
    '/usr/sbin/smtp-sink',
    ['-4', '-c', '-m', '1000', '-h', 'sink.localhost', ...user, `127.0.0.1:${port}`, '1024'],
    { stdio: ['ignore', file, 'inherit'] },
  );
  await pause(300);
  if (sink.exitCode !== null) throw new Error(`smtp-sink did not start on port ${port}`);
  const tail = Buffer.alloc(400);
  return {
    count() {
      const { size } = fstatSync(file);
      const length = readSync(file, tail, 0, tail.length, Math.max(0, size - tail.length));
      const counts = [...tail.toString('latin1', 0, length).matchAll(/mesg=(\d+)\s*\r/g)];
      return Number(counts.at(-1)?.[1] ?? 0);
    },
    async close() {
      await stop(sink);
      closeSync(file);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

export async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((done) => child.once('exit', done));
  child.kill('SIGTERM');
  await ended;
}

/** One measured run: smtp-source submits, the clock stops when the sink has everything. */
export async function run(relay: Relay, load: Load, sink: Sink): Promise<Result> {
  const before = sink.count();
  const cpuBefore = relay.pids.map((pid) => cpuSeconds([pid]));
  const began = performance.now();
  const source = spawn('/usr/sbin/smtp-source', sourceArguments(relay, load), {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let accepted = 0;
  const sourceEnded = new Promise<number>((done) =>
    source.once('exit', (code) => {
      accepted = performance.now();
      done(code ?? 1);
    }),
  );
  await until(
    `${relay.name}: all of ${load.messages} at the sink`,
    () => sink.count() - before >= load.messages,
    180,
  );
  const drained = performance.now();
  if ((await sourceEnded) !== 0) throw new Error(`${relay.name}: smtp-source failed`);
  await pause(500); // what is cleaned up after the last message is charged too
  const cpuParts = relay.pids.map((pid, i) => ((cpuSeconds([pid]) - cpuBefore[i]!) / load.messages) * 1000);
  return {
    relay: relay.name,
    acceptedPerSecond: (load.messages / (accepted - began)) * 1000,
    drainedPerSecond: (load.messages / (drained - began)) * 1000,
    cpuSecondsPer1000: cpuParts.reduce((sum, part) => sum + part, 0),
    cpuParts,
    duplicates: sink.count() - before - load.messages,
  };
}

function sourceArguments({ port }: Relay, load: Load): string[] {
  return [
    ...['-4', '-m', `${load.messages}`, '-s', `${load.sessions}`, '-l', `${load.size}`, '-C', '20'],
    ...['-M', 'bench.example', '-f', 'sender@bench.example', '-t', 'rcpt@bench.example'],
    ...(load.keep ? ['-d'] : []),
    `127.0.0.1:${port}`,
  ];
}
