/**
 * Bells on PostgreSQL, for a machine that has nothing but Node.
 *
 * BullMQ keeps its tables in the schema `bullmq` of our own database; its migrations run under an
 * advisory lock. Workers are woken by NOTIFY, each on one connection of the pool; all other
 * statements of all queues share the rest of it.
 */
import { createPostgresBackend, Queue, runMigrations, Worker } from 'bullmq';
import pg from 'pg';
import {
  type Backend,
  JOB_OPTIONS,
  QueueUnusable,
  STREAMS,
  sleep,
  WORKER_OPTIONS,
  within,
} from './backend.ts';

const SCHEMA = 'bullmq';
const SETTING = 'database.url (POSTERN_DATABASE_URL)';
const LOOK_UP_SECONDS = 30;
// A bell may be lost, the rows say what is to be done: it needs no fsync of its own.
const OPTIONS = `-c search_path=${SCHEMA} -c synchronous_commit=off`;
const FAILURE_PAUSE_MS = 500;

/**
 * A worker whose statement fails asks again at once. While PostgreSQL is away that would be a busy
 * loop, so bad news travels slowly here.
 */
class PatientPool extends pg.Pool {
  // biome-ignore lint/suspicious/noExplicitAny: pg declares query() with a dozen overloads; all of them pass through
  override async query(...args: any[]): Promise<any> {
    try {
      return await Reflect.apply(super.query, this, args);
    } catch (error) {
      await sleep(FAILURE_PAUSE_MS);
      throw error;
    }
  }
}

export interface PostgresBackendOptions {
  databaseUrl: string;
  /** How many queues may be answered here: each takes a connection to LISTEN on. */
  rooms: number;
  onError(error: Error): void;
  startWithinMs: number;
}

export async function openPostgresBackend(options: PostgresBackendOptions): Promise<Backend> {
  const { databaseUrl, rooms, onError } = options;
  const pool = new PatientPool({
    connectionString: withOptions(databaseUrl),
    application_name: 'postern-queue',
    max: rooms + 2,
    idleTimeoutMillis: 60_000,
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
    keepAlive: true,
  });
  pool.on('error', onError);
  const clients = new Set<pg.PoolClient>();
  pool.on('connect', (client) => clients.add(client));
  pool.on('remove', (client) => clients.delete(client));
  try {
    await migrate(pool, options.startWithinMs);
  } catch (error) {
    await pool.end();
    throw error;
  }
  return {
    kind: 'postgres',
    queue: (name) => {
      const queue = new Queue(
        name,
        { connection: pool, streams: STREAMS, defaultJobOptions: JOB_OPTIONS },
        createPostgresBackend as never,
      );
      return queue.on('error', onError);
    },
    worker: (name, process) => {
      const settings = { ...WORKER_OPTIONS, connection: pool, drainDelay: LOOK_UP_SECONDS };
      return new Worker(name, process, settings, createPostgresBackend as never).on('error', onError);
    },
    ping: async () => {
      await within(2_000, 'asking PostgreSQL', pool.query('select 1'));
    },
    onBack: () => {}, // a pool has no such moment: the next success tells
    close: async () => {
      // A worker that did not let go of its connection must not keep the process alive.
      await within(1_000, 'closing', pool.end()).catch(() => endAll(clients));
    },
  };
}

/** Adds ours to the options an address may carry; given beside it, they would be overruled by them. */
function withOptions(databaseUrl: string): string {
  const url = new URL(databaseUrl);
  const given = url.searchParams.get('options');
  url.searchParams.set('options', given === null ? OPTIONS : `${given} ${OPTIONS}`);
  return url.href;
}

/** Migrates, waiting for a server that is still starting. */
async function migrate(pool: pg.Pool, startWithinMs: number): Promise<void> {
  const deadline = Date.now() + startWithinMs;
  for (;;) {
    try {
      const client = await pool.connect();
      try {
        await runMigrations(client, SCHEMA);
        return;
      } finally {
        client.release();
      }
    } catch (error) {
      if (Date.now() >= deadline)
        throw new QueueUnusable(`${SETTING}: the queue's tables cannot be made`, { cause: error });
      await sleep(FAILURE_PAUSE_MS);
    }
  }
}

async function endAll(clients: Iterable<pg.PoolClient>): Promise<void> {
  // The pool's type hides end(), since a borrowed client is to be released; these never will be.
  for (const client of clients) (client as unknown as pg.Client).end().catch(() => {});
}
