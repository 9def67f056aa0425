/** `postern config`: whether the settings are good, what they are, what there is to set. */
import type { Command } from 'commander';
import { stringify } from 'yaml';
import { redacted } from '../../core/runtime/config.ts';
import { reference } from '../../core/runtime/config-reference.ts';
import { command, group } from '../command.ts';
import { misuse, say } from '../output.ts';
import { type Common, configOf } from '../settings.ts';

export function addConfigCommands(program: Command): void {
  const config = group(program, 'config', 'the configuration');
  command(config, 'check', 'report every fault at once').action((options: Common) => {
    configOf(options);
    say(options, { status: 'good' }, () => 'the configuration is good');
  });
  command(config, 'print', 'show what is in force, without secrets')
    .option('--redacted', 'required, as a reminder that this is not a backup')
    .action((options: Common & { redacted?: boolean }) => {
      if (options.redacted !== true)
        throw misuse('secrets are never printed: ask for "postern config print --redacted"');
      const shown = redacted(configOf(options));
      say(options, shown, () => stringify(shown).trimEnd());
    });
  command(config, 'reference', 'every setting, in Markdown').action((options: Common) => {
    const markdown = reference();
    say(options, { markdown }, () => markdown.trimEnd());
  });
}
