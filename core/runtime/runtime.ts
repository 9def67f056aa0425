import type { Logger } from 'pino';
import { type Bells, openBells } from '../queue/bells.ts';
import { startSweeper } from '../queue/sweeper.ts';
import { type ContentCache, contentCache } from '../store/contents.ts';
import { type Database, openDatabase } from '../store/database.ts';
import { loseExpired } from '../store/leases.ts';
import { type Listening, openListening } from '../store/listening.ts';
import { migrate } from '../store/migrate.ts';
import { openSuppressed, type Suppressed } from '../store/suppressed.ts';
import { sweep } from '../store/sweep.ts';
import { startBrake } from './brake.ts';
import { startCheckpoints } from './checkpointing.ts';
import type { Config } from './config.ts';
import { startEmbeddedPostgres } from './embedded-postgres.ts';
import { startHousekeeping } from './housekeeping.ts';
import { type Issuer, openIssuer } from './issuer.ts';
import type { Metrics } from './metrics.ts';
import { openSigner, type Signer } from './signer.ts';
import { startWatch } from './watch.ts';

/** What every room stands on. It is handed to each as one argument. */
export interface Runtime {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly database: Database;
  /** Bytes the door has just stored, for the delivery room of the same process. */
  readonly contents: ContentCache;
  readonly bells: Bells;
  /** What the other processes tell in passing. */
  readonly listening: Listening;
  /** The addresses that get no more mail. */
  readonly suppressed: Suppressed;
  /** Signs what Postern says of mail, approvals and its audit log. */
  readonly signer: Signer;
  /** What is said of those who send. */
  readonly issuer: Issuer;
}

/** A room that has started; `close` finishes what it has begun and takes nothing new. */
export interface Room {
  close(): Promise<void>;
}

/**
 * Opens the ground floor: PostgreSQL (our own when the configuration names none), the schema, the bells and
 * the sweeper. Throws with the setting's name when one of them cannot be had; what was opened is closed again.
 */
export async function openRuntime(
  config: Config,
  { log, metrics }: { log: Logger; metrics: Metrics },
): Promise<Runtime & Room> {
  const opened: (() => Promise<unknown>)[] = [];
  const close = async () => {
    for (const end of opened.splice(0).reverse()) {
      await end().catch((err: unknown) => log.error({ err }, 'closing failed'));
    }
  };
  try {
    const databaseUrl = config.database.url ?? (await embedded(config, log, opened));
    const ran = await migrate(databaseUrl);
    if (ran.length > 0) log.info({ migrations: ran }, 'schema brought up to date');

    const database = openDatabase({
      url: databaseUrl,
      poolSize: config.database.pool_size,
      onError: (err) => log.warn({ err }, 'a database connection broke'),
    });
    opened.push(() => database.close());

    const bells = await openBells({
      url: config.queue.url === undefined || config.queue.url === 'postgres' ? null : config.queue.url,
      databaseUrl,
      prefix: config.queue.prefix,
      log,
      metrics: metrics.registry,
    });
    opened.push(() => bells.close());

    const listening = openListening(databaseUrl, log);
    opened.push(() => listening.close());

    const signer = openSigner(database, listening);
    const issuer = openIssuer({ config, database, signer });
    const loseDead = undertaker(database, log);
    const sweeper = startSweeper({
      bells,
      log,
      async sweep(limit) {
        await loseDead();
        return sweep(database.pool, limit);
      },
    });
    opened.push(() => sweeper.close());

    const housekeeping = startHousekeeping({ database, log });
    opened.push(() => housekeeping.close());
    const checkpoints = startCheckpoints({ database, signer, log });
    opened.push(() => checkpoints.close());
    const watch = startWatch({ bells, database, metrics, log });
    opened.push(() => watch.close());
    const brake = startBrake({ config, database, metrics, log });
    if (brake !== undefined) opened.push(() => brake.close());

    const suppressed = openSuppressed(database.pool, listening);
    const contents = contentCache();
    return { config, log, metrics, database, contents, bells, listening, suppressed, signer, issuer, close };
  } catch (err) {
    await close();
    throw err;
  }
}

/** Finds what dead workers held. Its failure is told now and then, and must not keep the sweeper from what else is due. */
function undertaker(database: Database, log: Logger): () => Promise<void> {
  let failures = 0;
  return async () => {
    try {
      const lost = await loseExpired(database);
      failures = 0;
      if (lost.length > 0) log.warn({ messages: lost }, 'a delivery worker ended while sending: in doubt');
    } catch (err) {
      failures += 1;
      if (failures % 600 === 1) log.error({ err, failures }, 'workers that ended cannot be looked for');
    }
  };
}

async function embedded(config: Config, log: Logger, opened: (() => Promise<unknown>)[]): Promise<string> {
  const postgres = await startEmbeddedPostgres({ dataDir: config.data_dir, log });
  opened.push(() => postgres.stop());
  return postgres.url;
}
