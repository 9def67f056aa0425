/**
 * What the bells need of a queue server. Two stand behind it, `redis-backend.ts` and
 * `postgres-backend.ts`; everything above is the same code for both.
 */
import type { Job, Queue, Worker, WorkerOptions } from 'bullmq';
import type { Logger } from 'pino';

export type QueueLog = Pick<Logger, 'debug' | 'info' | 'warn' | 'error'>;

export interface Backend {
  readonly kind: 'redis' | 'postgres';
  queue(name: string): Queue;
  worker(name: string, process: (job: Job) => Promise<void>): Worker;
  /** Throws when the server does not answer within a second or two. */
  ping(): Promise<void>;
  /** Called each time a lost connection is back. */
  onBack(listener: () => void): void;
  close(): Promise<void>;
}

/** A server we cannot or must not start with. The text names the setting and no password. */
export class QueueUnusable extends Error {}

/** Bells are rung once and never kept: a job that failed is found again by the sweeper. */
export const JOB_OPTIONS = { attempts: 1, removeOnComplete: true, removeOnFail: true } as const;

/** The event stream is used by nobody here; it is kept short rather than switched off. */
export const STREAMS = { events: { maxLen: 100 } } as const;

/**
 * A bell is handed over in microseconds, so its lock needs no renewal. An idle worker looks up
 * every `drainDelay` seconds only in case a wake-up got lost; it is woken by the server.
 */
export const WORKER_OPTIONS = {
  concurrency: 1,
  lockDuration: 30_000,
  stalledInterval: 30_000,
  skipLockRenewal: true,
  runRetryDelay: 1_000,
  removeOnComplete: { count: 0 },
  removeOnFail: { count: 0 },
} as const satisfies Partial<WorkerOptions>;

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** The promise, or an error that says what took too long. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took longer than ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
