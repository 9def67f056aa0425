/**
 * The bells: how one room tells the next that there is work, without telling it what the work is.
 *
 *   ring(queue, ids) ─┬─▶ room in this process (same turn of the event loop)
 *                     └─▶ bundler ─▶ job {ids} ─▶ worker of any process ─▶ its room
 *                                                  (skips what the first way brought already)
 *
 * A bell may ring twice or never; the row decides what is still to be done, and the sweeper rings
 * again for rows that were left behind. So nothing here is ever waited for by the one who rings.
 */
import type { Job, Queue, Worker } from 'bullmq';
import type { Registry } from 'prom-client';
import { type Backend, type QueueLog, sleep, within } from './backend.ts';
import { Bundler } from './bundler.ts';
import { BUNDLE, idsOf, QUEUES, type QueueName } from './jobs.ts';
import { type BellMetrics, bellMetrics } from './metrics.ts';
import { Outage } from './outage.ts';
import { openPostgresBackend } from './postgres-backend.ts';
import { Recent } from './recent.ts';
import { openRedisBackend } from './redis-backend.ts';

export interface BellsOptions {
  /** A Redis address, or null for BullMQ on the same PostgreSQL. */
  url: string | null;
  databaseUrl: string;
  prefix: string;
  log: QueueLog;
  metrics?: Registry | undefined;
  /** 'always' also makes a job when a room of this process was told: it survives a crash. */
  jobs?: 'always' | 'unanswered';
  /** How long a server that does not answer yet is waited for at start. */
  startWithinMs?: number;
  /** The most ids kept for a queue whose server is away. */
  waitingLimit?: number;
}

export type Room = (ids: string[]) => void;

/** `waiting`: ids still here; `jobs`: bundles on the server, null when it does not answer. */
export interface Depth {
  waiting: number;
  jobs: number | null;
}

export interface Answering {
  close(): Promise<void>;
}

export interface Bells {
  readonly kind: 'redis' | 'postgres';
  /** Returns at once and never throws, whatever the state of the server. */
  ring(queue: QueueName, ids: readonly string[]): void;
  /**
   * From now on bells of this queue are handed to `room`, at most 200 ids at a time, in no certain
   * order and more than once where it happens so. One room a queue and process. A room that closes
   * first closes what it got here, and its bells are left to the other processes.
   */
  answer(queue: QueueName, room: Room): Answering;
  depths(): Promise<Record<QueueName, Depth>>;
  /** BullMQ's own objects, for the queue view. */
  queues(): Queue[];
  healthy(): Promise<boolean>;
  /** Rings what still waits for a moment, then lets go of everything. */
  close(): Promise<void>;
}

/** While bells keep ringing, a bundle at most this often: a job costs about a millisecond of CPU, however many ids it holds. */
const GAP_MS = 10;
/** A room in this process has heard already; its job is there for the case that the process dies. */
const GAP_TOLD_MS = 100;
const DRAIN_MS = 500;
const CLOSE_MS = 1_000;

/** Opens the bells, or throws QueueUnusable with the setting's name and the reason. */
export async function openBells(options: BellsOptions): Promise<Bells> {
  const metrics = bellMetrics(options.metrics);
  const outage = new Outage(options.log);
  const onError = (error: Error) => outage.failed(error);
  const startWithinMs = options.startWithinMs ?? 10_000;
  const backend =
    options.url === null
      ? await openPostgresBackend({ ...options, rooms: QUEUES.length, onError, startWithinMs })
      : await openRedisBackend({ ...options, url: options.url, onError, startWithinMs });
  const tower = new Tower(backend, options, metrics, outage);
  try {
    await tower.ready();
  } catch (error) {
    await tower.close();
    throw error;
  }
  return tower;
}

/** What belongs to one queue. */
interface Bell {
  queue: Queue;
  bundler: Bundler;
  recent: Recent;
  room: Room | undefined;
  worker: Worker | undefined;
  /** Rung in this turn of the event loop, for the room in this process. */
  near: string[];
}

class Tower implements Bells {
  readonly #backend: Backend;
  readonly #options: BellsOptions;
  readonly #metrics: BellMetrics;
  readonly #outage: Outage;
  readonly #bells: Record<QueueName, Bell>;
  /** The name of our jobs, by which our own worker knows what its room was told already. */
  readonly #name = `bell-${crypto.randomUUID().slice(0, 8)}`;
  #closed = false;

  constructor(backend: Backend, options: BellsOptions, metrics: BellMetrics, outage: Outage) {
    this.#backend = backend;
    this.#options = options;
    this.#metrics = metrics;
    this.#outage = outage;
    this.#bells = { policy: this.#hang('policy'), delivery: this.#hang('delivery') };
    backend.onBack(() => {
      outage.over();
      for (const name of QUEUES) this.#bells[name].bundler.hurry();
    });
    metrics.watchWaiting((name) => this.#bells[name].bundler.waiting);
  }

  get kind(): 'redis' | 'postgres' {
    return this.#backend.kind;
  }

  async ready(): Promise<void> {
    await Promise.all(this.queues().map((queue) => queue.waitUntilReady()));
  }

  ring(name: QueueName, ids: readonly string[]): void {
    if (this.#closed || ids.length === 0) return;
    const bell = this.#bells[name];
    this.#metrics.rung(name, ids.length);
    if (bell.room) this.#tellRoom(bell, ids);
    if (!bell.room || this.#options.jobs !== 'unanswered') bell.bundler.add(ids);
  }

  answer(name: QueueName, room: Room): Answering {
    const bell = this.#bells[name];
    if (bell.room) throw new Error(`the queue ${name} is answered in this process already`);
    bell.room = room;
    this.#openWorker(name, bell);
    return { close: () => this.#fallSilent(bell) };
  }

  async depths(): Promise<Record<QueueName, Depth>> {
    const [policy, delivery] = await Promise.all([this.#depth('policy'), this.#depth('delivery')]);
    return { policy, delivery };
  }

  queues(): Queue[] {
    return QUEUES.map((name) => this.#bells[name].queue);
  }

  async healthy(): Promise<boolean> {
    try {
      await within(2_000, 'asking the queue', this.#backend.ping());
      this.#outage.over();
      return true;
    } catch (error) {
      this.#outage.failed(error);
      return false;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    const bells = QUEUES.map((name) => this.#bells[name]);
    await Promise.all(bells.map((bell) => this.#fallSilent(bell)));
    await Promise.all(bells.map((bell) => bell.bundler.close(DRAIN_MS)));
    this.#outage.quiet();
    await within(CLOSE_MS, 'closing', Promise.all(bells.map((bell) => bell.queue.close()))).catch(() => {});
    await this.#backend.close();
  }

  #hang(name: QueueName): Bell {
    const queue = this.#backend.queue(name);
    const bundler = new Bundler({
      size: BUNDLE,
      gapMs: () => (this.#bells[name].room === undefined ? GAP_MS : GAP_TOLD_MS),
      ...(this.#options.waitingLimit === undefined ? {} : { limit: this.#options.waitingLimit }),
      send: async (ids) => {
        await queue.add(this.#name, { ids });
        this.#outage.over();
        this.#metrics.job(name);
      },
      onFailure: (error) => this.#outage.failed(error),
      onDrop: (count) => {
        this.#outage.dropped(count);
        this.#metrics.dropped(name, count);
      },
    });
    return { queue, bundler, recent: new Recent(), room: undefined, worker: undefined, near: [] };
  }

  #tellRoom(bell: Bell, ids: readonly string[]): void {
    if (bell.near.length === 0) setImmediate(() => this.#handNear(bell));
    for (const id of ids) {
      bell.near.push(id);
      if (this.#options.jobs !== 'unanswered') bell.recent.add(id);
    }
  }

  #handNear(bell: Bell): void {
    const ids = bell.near;
    bell.near = [];
    for (let at = 0; at < ids.length; at += BUNDLE) this.#hand(bell, ids.slice(at, at + BUNDLE));
  }

  #hand(bell: Bell, ids: string[]): void {
    if (ids.length === 0) return;
    try {
      bell.room?.(ids);
    } catch (error) {
      this.#options.log.error({ err: error, queue: bell.queue.name }, 'a room failed to take a bell');
    }
  }

  async #take(bell: Bell, job: Job): Promise<void> {
    const ids = idsOf(job.data);
    if (ids === undefined) {
      this.#options.log.warn({ queue: bell.queue.name, job: job.id }, 'a job that is no bell was dropped');
      return;
    }
    const ours = job.name === this.#name;
    this.#hand(bell, ours ? ids.filter((id) => !bell.recent.take(id)) : ids);
  }

  /** No more jobs are taken; a room that closed earlier than this would take bells to the grave. */
  async #fallSilent(bell: Bell): Promise<void> {
    const { worker } = bell;
    bell.worker = undefined;
    // Closed while it is still opening, a worker on PostgreSQL would keep a connection for ever.
    const closed = worker
      ?.waitUntilReady()
      .catch(() => {})
      .then(() => worker.close());
    if (closed) await within(CLOSE_MS, 'closing a worker', closed).catch(() => {});
    bell.room = undefined;
  }

  /** A worker whose server is away in its first moment never recovers: it is made anew. */
  #openWorker(name: QueueName, bell: Bell): void {
    if (this.#closed || !bell.room) return;
    const worker = this.#backend.worker(name, (job) => this.#take(bell, job));
    bell.worker = worker;
    worker.waitUntilReady().catch(async (error: unknown) => {
      if (bell.worker !== worker) return;
      this.#outage.failed(error);
      await Promise.all([worker.close(true).catch(() => {}), sleep(CLOSE_MS)]);
      if (bell.worker === worker) this.#openWorker(name, bell);
    });
  }

  async #depth(name: QueueName): Promise<Depth> {
    const { queue, bundler } = this.#bells[name];
    try {
      const counts = await within(2_000, 'counting jobs', queue.getJobCounts('waiting', 'active'));
      return { waiting: bundler.waiting, jobs: (counts.waiting ?? 0) + (counts.active ?? 0) };
    } catch {
      return { waiting: bundler.waiting, jobs: null };
    }
  }
}
