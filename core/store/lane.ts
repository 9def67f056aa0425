import pg from 'pg';

/**
 * One kept connection for one kind of statement. It connects when first used and again after it broke;
 * the statement under way when it broke is rejected, because nobody can know whether it was committed.
 */
export interface Lane {
  query<R extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<pg.QueryResult<R>>;
  close(): Promise<void>;
}

export function openLane(options: { url: string; name: string; onError: (err: unknown) => void }): Lane {
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
