/**
 * The operator's way: commands that manage mailboxes, keys and logins write to the store itself, on the
 * gateway's own machine. Whoever may read the database's address or open its socket holds everything anyway;
 * and the first key must come from somewhere.
 */
import { userInfo } from 'node:os';
import type { Actor } from '../core/mail/actor.ts';
import type { Config } from '../core/runtime/config.ts';
import { runningPostgres } from '../core/runtime/embedded-postgres.ts';
import { type Database, openDatabase } from '../core/store/database.ts';
import { pendingMigrations } from '../core/store/migrate.ts';
import { Failure } from './output.ts';
import { type Common, configOf } from './settings.ts';

export interface Operator {
  config: Config;
  database: Database;
  /** How the audit log names whoever runs the command. */
  actor: Actor;
}

/** Opens the store for `work` and closes it again. */
export async function withStore<T>(options: Common, work: (operator: Operator) => Promise<T>): Promise<T> {
  const config = configOf(options);
  const url = databaseUrl(config);
  await refuseUnprepared(url);
  const database = openDatabase({ url, poolSize: 2 });
  try {
    return await work({ config, database, actor: operatorActor() });
  } finally {
    await database.close();
  }
}

/** The database of the configuration, or the one that a running Postern keeps in the data directory. */
export function databaseUrl(config: Config): string {
  const url = config.database.url ?? runningPostgres(config.data_dir);
  if (url === undefined)
    throw new Failure(
      `no database: Postern is not running on ${config.data_dir}, and database.url is not set`,
      {
        code: 'no_database',
        hint: 'start it with "npm start", or set database.url; this works on the gateway\'s own machine only',
      },
    );
  return url;
}

async function refuseUnprepared(url: string): Promise<void> {
  let pending: string[];
  try {
    pending = await pendingMigrations(url);
  } catch (err) {
    throw databaseFailure(err);
  }
  if (pending.length > 0)
    throw new Failure(`the database has not been prepared for this version (${pending.join(', ')})`, {
      code: 'not_migrated',
      hint: 'run "postern migrate"',
    });
}

export function databaseFailure(err: unknown): Failure {
  const cause = err instanceof AggregateError && err.errors.length > 0 ? err.errors[0] : err;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Failure(`the database cannot be reached: ${reason}`, {
    code: 'database',
    hint: 'check database.url (POSTERN_DATABASE_URL)',
    cause: err,
  });
}

function operatorActor(): Actor {
  return { type: 'system', id: null, name: `cli:${nameOfUser()}` };
}

function nameOfUser(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.() ?? 'unknown'); // no entry in passwd, as in many containers
  }
}
