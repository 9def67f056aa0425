import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runner } from 'node-pg-migrate';
import pg from 'pg';

const FOLDER = fileURLToPath(new URL('./migrations', import.meta.url));
const TABLE = 'schema_migrations';
const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

export class NewerSchema extends Error {}

/**
 * Brings the schema up to this version, under an advisory lock, so that several processes may start at
 * once. Forward only. Throws `NewerSchema`, having changed nothing, when the database has migrations that
 * this version does not know: an older Postern must not write into a newer schema.
 * Returns the names of the migrations it ran.
 */
export async function migrate(databaseUrl: string): Promise<string[]> {
  await refuseNewer(databaseUrl);
  // A client of our own: the library does not wait until its connection is closed, and what breaks then ends the process.
  return withClient(databaseUrl, async (dbClient) => {
    const ran = await runner({
      dbClient,
      dir: FOLDER,
      direction: 'up',
      migrationsTable: TABLE,
      checkOrder: true,
      singleTransaction: true,
      advisoryLockMode: 'wait',
      logger: SILENT,
    });
    return ran.map(({ name }) => name);
  });
}

/** Migrations known to this version and not yet in the database. */
export async function pendingMigrations(databaseUrl: string): Promise<string[]> {
  const applied = await appliedMigrations(databaseUrl);
  return known().filter((name) => !applied.includes(name));
}

function known(): string[] {
  return readdirSync(FOLDER)
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .sort();
}

async function refuseNewer(databaseUrl: string): Promise<void> {
  const ours = known();
  const strange = (await appliedMigrations(databaseUrl)).filter((name) => !ours.includes(name));
  if (strange.length > 0)
    throw new NewerSchema(
      `the database has migrations that this version of Postern does not know (${strange.join(', ')}): ` +
        'it was used by a newer version; start that version, or restore a backup from before the upgrade',
    );
}

function appliedMigrations(databaseUrl: string): Promise<string[]> {
  return withClient(databaseUrl, async (client) => {
    const { rows } = await client.query<{ exists: boolean }>('select to_regclass($1) is not null as exists', [
      TABLE,
    ]);
    if (!rows[0]?.exists) return [];
    const applied = await client.query<{ name: string }>(`select name from ${TABLE} order by id`);
    return applied.rows.map(({ name }) => name);
  });
}

async function withClient<T>(databaseUrl: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl });
  client.on('error', () => {}); // the statement under way is told of it as well
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
