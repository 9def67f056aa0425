/**
 * npm run bench [-- --rounds 3 --sizes 4096,102400 --backends redis,postgres --seconds 6]
 *
 * The whole journey beside Postfix: smtp-source submits, the relay under test delivers to smtp-sink, all on
 * loopback and in one run. Relays take turns (A B, B A, …), because a machine's mood changes from minute to
 * minute; what counts is the ratio within a round. Needs Debian's postfix and redis-server.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { latency, quantile } from './latency.ts';
import { type Load, type Relay, type Result, run, startSink } from './load.ts';
import { startPostern } from './postern.ts';
import { startPostfix } from './postfix.ts';
import { pause } from './processes.ts';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    sizes: { type: 'string', default: '4096,102400' },
    backends: { type: 'string', default: 'redis,postgres' },
    sessions: { type: 'string', default: '10' },
    messages: { type: 'string', default: '6000' },
    out: { type: 'string' },
  },
});

const SINK = 2610;
const report: object[] = [];
const postfix = await startPostfix(2527, SINK);
try {
  for (const backend of options.backends.split(',') as ('redis' | 'postgres')[]) {
    const postern = await startPostern(backend, { trusted: 2528, http: 2581, redis: 2579 }, SINK);
    try {
      for (const size of options.sizes.split(',').map(Number)) await compare(postern, loadOf(size));
      await compareLatency(postern);
    } finally {
      await postern.close();
    }
  }
} finally {
  await postfix.close();
}
if (options.out !== undefined) writeFileSync(options.out, `${JSON.stringify(report, null, 2)}\n`);

function loadOf(size: number): Load {
  const messages = Math.max(500, Math.round(Number(options.messages) / Math.max(1, size / 20_000)));
  return { messages, size, sessions: Number(options.sessions), keep: true };
}

async function compare(postern: Relay, load: Load): Promise<void> {
  const sink = await startSink(SINK);
  const rounds: { postern: Result; postfix: Result }[] = [];
  try {
    for (const relay of [postern, postfix]) await run(relay, { ...load, messages: 500 }, sink);
    for (let round = 0; round < Number(options.rounds); round++) {
      const order = round % 2 === 0 ? [postern, postfix] : [postfix, postern];
      const results = new Map<Relay, Result>();
      for (const relay of order) {
        results.set(relay, await run(relay, load, sink));
        await pause(1000);
      }
      rounds.push({ postern: results.get(postern)!, postfix: results.get(postfix)! });
    }
  } finally {
    await sink.close();
  }
  const median = (pick: (round: (typeof rounds)[number]) => number) => quantile(rounds.map(pick), 0.5);
  const line = {
    relay: postern.name,
    size: load.size,
    drained: round1(median((r) => r.postern.drainedPerSecond)),
    postfix: round1(median((r) => r.postfix.drainedPerSecond)),
    ratio: round2(median((r) => r.postern.drainedPerSecond / r.postfix.drainedPerSecond)),
    cpuPer1000: round2(median((r) => r.postern.cpuSecondsPer1000)),
    cpuParts: postern.pids.map((_, i) => round2(median((r) => r.postern.cpuParts[i]!))),
    postfixCpuPer1000: round2(median((r) => r.postfix.cpuSecondsPer1000)),
    accepted: round1(median((r) => r.postern.acceptedPerSecond)),
    duplicates: rounds.reduce((sum, r) => sum + r.postern.duplicates, 0),
  };
  report.push(line);
  console.log(JSON.stringify(line));
}

async function compareLatency(postern: Relay): Promise<void> {
  for (const relay of [postern, postfix]) {
    const one = await latency(relay, SINK);
    const line = {
      latency: one.relay,
      ackMedianMs: round2(one.ackMedian),
      totalMedianMs: round2(one.totalMedian),
      total99Ms: round2(one.total99),
    };
    report.push(line);
    console.log(JSON.stringify(line));
  }
}

function round1(n: number): number {
  return Math.round(n * 10) / 10;
}

function round2(n: number): number {
  return Math.round(n * 100) / 100;
}
