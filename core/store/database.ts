import pg from 'pg';
import { type Lane, openLane } from './lane.ts';

/** What a store function runs on: the pool, or one client inside a transaction of the caller's. */
export interface Db {
  query<R extends pg.QueryResultRow>(
    config: pg.QueryConfig | string,
    values?: unknown[],
  ): Promise<pg.QueryResult<R>>;
}

/** PostgreSQL as one process sees it: a pool for single questions, a lane for each kind of batch. */
export interface Database {
  readonly url: string;
  readonly pool: pg.Pool;
  /**
   * A connection of its own for one kind of statement, which run on it one after the other. Where not `durable`, a
   * commit returns before it is on disk: a crash of PostgreSQL may undo it, wholly, as if it had not been asked for.
   */
  lane(name: string, options?: { durable?: boolean; lockTimeout?: string }): Lane;
  /** Runs `work` in one transaction; rolls back when it throws. */
  transaction<T>(work: (db: Db) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

// ids, counts and sizes stay below 2^53
pg.types.setTypeParser(pg.types.builtins.INT8, Number);

export function openDatabase(options: {
  url: string;
  poolSize: number;
  onError?: (err: unknown) => void;
}): Database {
  const { url } = options;
  const onError = options.onError ?? (() => {});
  const pool = new pg.Pool({
    connectionString: url,
    max: options.poolSize,
    application_name: 'postern',
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 60_000,
    // A plan kept from when a table was small reads all of it later, for as long as nothing analyses it.
    onConnect: async (client) => {
      await client.query('set plan_cache_mode = force_custom_plan');
    },
  });
  // An idle client that loses its server must not end the process; the next query gets a fresh one.
  pool.on('error', onError);
  const lanes: Lane[] = [];
  return {
    url,
    pool,
    lane(name, { durable = true, lockTimeout } = {}) {
      const lane = openLane({
        url,
        name,
        durable,
        onError,
        ...(lockTimeout !== undefined && { lockTimeout }),
      });
      lanes.push(lane);
      return lane;
    },
    async transaction(work) {
      const client = await pool.connect();
      try {
        await client.query('begin');
        const result = await work(client);
        await client.query('commit');
        client.release();
        return result;
      } catch (err) {
        await client.query('rollback').then(
          () => client.release(),
          (broken: unknown) => client.release(broken instanceof Error ? broken : true),
        );
        throw err;
      }
    },
    async close() {
      await Promise.all([...lanes.map((lane) => lane.close()), pool.end()]);
    },
  };
}
