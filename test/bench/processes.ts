import { readdirSync, readFileSync } from 'node:fs';

/** CPU seconds of process trees, from /proc: what each has used itself and what its reaped children had. */

const TICKS_PER_SECOND = 100;

interface Row {
  pid: number;
  parent: number;
  seconds: number;
}

/** Every process below `roots`, themselves included. */
export function tree(roots: number[]): number[] {
  const all = rows();
  const found = new Set(roots);
  for (let grown = true; grown; ) {
    grown = false;
    for (const { pid, parent } of all) {
      if (!found.has(parent) || found.has(pid)) continue;
      found.add(pid);
      grown = true;
    }
  }
  return [...found];
}

export function cpuSeconds(roots: number[]): number {
  const ours = new Set(tree(roots));
  return rows()
    .filter(({ pid }) => ours.has(pid))
    .reduce((sum, { seconds }) => sum + seconds, 0);
}

/** The same of one process without those it has started. */
export function ownCpuSeconds(pid: number): number {
  return rows().find((row) => row.pid === pid)?.seconds ?? 0;
}

/** Megabytes that a process holds now, and the most it ever held (VmRSS and VmHWM). */
export function memory(pid: number): { now: number; most: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const of = (name: string) => Math.round(Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) / 1024);
  return { now: of('VmRSS'), most: of('VmHWM') };
}

function rows(): Row[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        const ticks = fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0);
        return [{ pid: Number(name), parent: Number(fields[1]), seconds: ticks / TICKS_PER_SECOND }];
      } catch {
        return []; // ended while we looked
      }
    });
}

export const pause = (ms: number) => new Promise((done) => setTimeout(done, ms));

/** Polls until `question` is true; throws after `seconds`. */
export async function until(what: string, question: () => boolean | Promise<boolean>, seconds = 30) {
  const end = performance.now() + seconds * 1000;
  while (!(await question())) {
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds} s`);
    await pause(5);
  }
}
