import pg from 'pg';

/**
 * A lane's few statements look up rows by key, a batch at a time. Their plans are kept for the life of the
 * connection, and one made while the tables were small would read `messages` from end to end for every batch
 * for as long as autovacuum has not looked again. So the planner is told what is always right here.
 */
const BY_KEY =
  'set enable_seqscan = off; set enable_mergejoin = off; set plan_cache_mode = force_generic_plan';

/**
 * One kept connection for one kind of statement. It connects when first used and again after it broke;
 * the statement under way when it broke is rejected, because nobody can know whether it was committed.
 */
export interface Lane {
  query<R extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<R>>;
  close(): Promise<void>;
}

export function openLane(options: {
  url: string;
  name: string;
  durable: boolean;
  /** For so long a statement waits for somebody else's row; for ever when left out. */
  lockTimeout?: string;
  onError: (err: unknown) => void;
}): Lane {
  let client: Promise<pg.Client> | undefined;
  let closed = false;

  async function connect(): Promise<pg.Client> {
    const fresh = new pg.Client({
      connectionString: options.url,
      application_name: `postern ${options.name}`,
      connectionTimeoutMillis: 10_000,
    });
    const forget = () => {
      client = undefined;
    };
    fresh.on('error', (err) => {
      forget();
      options.onError(err);
    });
    fresh.on('end', forget);
    await fresh.connect();
    await fresh.query(BY_KEY);
    if (!options.durable) await fresh.query('set synchronous_commit = off');
    if (options.lockTimeout !== undefined) await fresh.query(`set lock_timeout = '${options.lockTimeout}'`);
    return fresh;
  }

  return {
    async query(config) {
      if (closed) throw new Error(`the ${options.name} lane is closed`);
      client ??= connect().catch((err: unknown) => {
        client = undefined;
        throw err;
      });
      return (await client).query(config);
    },
    async close() {
      closed = true;
      const open = client;
      client = undefined;
      await (await open?.catch(() => undefined))?.end();
    },
  };
}
