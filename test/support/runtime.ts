import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DestinationStream, pino } from 'pino';
import { openBells } from '../../core/queue/bells.ts';
import type { Config } from '../../core/runtime/config.ts';
import { ConfigSchema } from '../../core/runtime/config-schema.ts';
import { openIssuer } from '../../core/runtime/issuer.ts';
import { createMetrics } from '../../core/runtime/metrics.ts';
import { provisionAccount } from '../../core/runtime/provision.ts';
import type { Room, Runtime } from '../../core/runtime/runtime.ts';
import { openSigner } from '../../core/runtime/signer.ts';
import { contentCache } from '../../core/store/contents.ts';
import { openDatabase } from '../../core/store/database.ts';
import { openListening } from '../../core/store/listening.ts';
import { openSuppressed } from '../../core/store/suppressed.ts';
import { freshDatabase } from './database.ts';

/** Settings as they would stand in postern.yaml. */
export type Settings = Parameters<typeof ConfigSchema.parse>[0] & object;

export interface TestRuntimeOptions {
  /** Where the log goes; nowhere by default. */
  log?: DestinationStream;
  /** A Redis for the bells; PostgreSQL by default. */
  redisUrl?: string;
  /** A database that exists already, which is then not dropped. */
  databaseUrl?: string;
}

/** What a test may want to know of the runtime beside what rooms see. */
export type TestRuntime = Runtime & Room;

/**
 * A runtime with a database and a data folder of its own; ports are chosen by the system. There is no sweeper:
 * what is rung is all that happens. `settings` are merged section by section over the test's defaults.
 */
export async function testRuntime(
  settings: Record<string, unknown> = {},
  options: TestRuntimeOptions = {},
): Promise<TestRuntime> {
  const dataDir = mkdtempSync(join(tmpdir(), 'postern-runtime-'));
  const own = options.databaseUrl === undefined ? await freshDatabase() : undefined;
  const url = options.databaseUrl ?? own!.url;
  const config = testConfig({ data_dir: dataDir, ...settings });
  const log = options.log === undefined ? pino({ level: 'silent' }) : pino({ level: 'info' }, options.log);
  const metrics = createMetrics();
  const database = openDatabase({ url, poolSize: 5 });
  const bells = await openBells({
    url: options.redisUrl ?? null,
    databaseUrl: url,
    prefix: config.queue.prefix,
    log,
    metrics: metrics.registry,
  });
  const listening = openListening(url, log);
  const signer = openSigner(database, listening);
  const suppressed = openSuppressed(database.pool, listening);
  const runtime: Runtime = {
    config,
    log,
    metrics,
    database,
    contents: contentCache(),
    bells,
    listening,
    suppressed,
    signer,
    issuer: openIssuer({ config, database, signer }),
  };
  await provisionAccount(runtime);
  return {
    ...runtime,
    async close() {
      await listening.close();
      await bells.close();
      await database.close();
      await own?.drop();
      rmSync(dataDir, { recursive: true, force: true });
    },
  };
}

const SMALL: Record<string, Record<string, unknown>> = {
  submission: { port: 0, tls_port: 0 },
  mx: { port: 0 },
  trusted: { port: 0 },
  http: { port: 0 },
  account: { oversight_address: 'operator@gateway.example' },
  // Tests that look at what is mailed would find one for each message that is held.
  oversight: { notices: false },
};

/** The configuration a test runs under: every port chosen by the system, our name gateway.example. */
export function testConfig(settings: Record<string, unknown> = {}): Config {
  const merged: Record<string, unknown> = { hostname: 'gateway.example', environment: 'test', ...settings };
  for (const [section, values] of Object.entries(SMALL)) {
    merged[section] = { ...values, ...(settings[section] as object | undefined) };
  }
  const parsed = ConfigSchema.parse(merged);
  const routes = { capture: { type: 'capture' as const }, ...parsed.delivery.routes };
  return { ...parsed, delivery: { ...parsed.delivery, routes } };
}
