/** `postern migrate`: brings the schema up to this version, once, before the rooms of a new version start. */
import type { Command } from 'commander';
import { clean } from '../../core/runtime/clean.ts';
import { migrate, NewerSchema } from '../../core/store/migrate.ts';
import { command } from '../command.ts';
import { Failure, say } from '../output.ts';
import { type Common, configOf } from '../settings.ts';
import { databaseFailure, databaseUrl } from '../store.ts';

export function addMigrateCommand(program: Command): void {
  command(program, 'migrate', 'bring the database up to this version').action(async (options: Common) => {
    const url = databaseUrl(configOf(options));
    const ran = await migrate(url).catch((err: unknown) => {
      if (err instanceof NewerSchema) throw new Failure(clean(err.message), { code: 'newer_schema' });
      throw databaseFailure(err);
    });
    say(options, { migrations: ran }, () =>
      ran.length === 0 ? 'the database is up to date' : `brought up to date: ${ran.join(', ')}`,
    );
  });
}
