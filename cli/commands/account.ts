/** `postern account`: whether anything may be sent at all. */
import type { Command } from 'commander';
import { switchSending } from '../../core/store/brake.ts';
import { command, group } from '../command.ts';
import { say } from '../output.ts';
import type { Common } from '../settings.ts';
import { withStore } from '../store.ts';

export function addAccountCommands(program: Command): void {
  const account = group(program, 'account', 'whether anything may be sent at all');
  command(account, 'stop-sending', 'refuse all new mail that is to be sent, by API and SMTP')
    .option('--reason <text>', 'why, as programs are told')
    .action((options: Common & { reason?: string }) => change(options, true, options.reason ?? null));
  command(
    account,
    'allow-sending',
    'take mail again; what failed before no longer counts against the account',
  ).action((options: Common) => change(options, false, null));
}

async function change(options: Common, disabled: boolean, reason: string | null): Promise<void> {
  await withStore(options, async ({ database, actor }) => {
    const changed = await switchSending(database.pool, { disabled, reason }, actor);
    const now = disabled ? 'nothing is sent' : 'mail is sent';
    say(
      options,
      { sending_disabled: disabled, changed },
      () => `${changed ? 'From now on' : 'As before'} ${now}.`,
    );
  });
}
