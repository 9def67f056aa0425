import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../core/runtime/embedded-postgres.ts';
import { createLog } from '../../core/runtime/log.ts';
import { migrate } from '../../core/store/migrate.ts';
import { databaseUrl, TEMPLATE } from './database-url.ts';

declare module 'vitest' {
  interface ProvidedContext {
    postgresUrl: string;
  }
}

interface Shared {
  users: number;
  server: Promise<{ url: string; stop(): Promise<void> }>;
}

/** One PostgreSQL for the whole run: vitest calls this once a project, each in a module instance of its own. */
const KEY = Symbol.for('postern.test.postgres');
const shelf = globalThis as { [KEY]?: Shared | undefined };

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  shelf[KEY] ??= { users: 0, server: start() };
  const shared = shelf[KEY];
  shared.users += 1;
  const server = await shared.server;
  project.provide('postgresUrl', server.url);
  return async () => {
    shared.users -= 1;
    if (shared.users > 0) return;
    shelf[KEY] = undefined;
    await server.stop();
  };
}

/** Nothing here is worth keeping, so nothing waits for the disk; a test that kills PostgreSQL starts its own. */
const FLEETING = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '400' };

async function start() {
  const dataDir = mkdtempSync(join(tmpdir(), 'postern-test-'));
  let postgres: EmbeddedPostgres | undefined;
  const stop = async () => {
    await postgres?.stop('immediate');
    rmSync(dataDir, { recursive: true, force: true });
  };
  try {
    postgres = await startEmbeddedPostgres({
      dataDir,
      log: createLog({ level: 'error' }),
      settings: FLEETING,
    });
    await makeTemplate(postgres.url);
    return { url: postgres.url, stop };
  } catch (err) {
    await stop();
    throw err;
  }
}

async function makeTemplate(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`create database ${TEMPLATE}`);
  } finally {
    await client.end();
  }
  await migrate(databaseUrl(url, TEMPLATE));
}
