/** How a command is declared, so that all of them take the same options and fail in the same way. */
import type { Command } from 'commander';

/** A word that only holds other commands, as in `postern held …`. */
export function group(parent: Command, name: string, description: string): Command {
  return parent.command(name).description(description);
}

/** A command that works on the gateway's own machine: it reads the configuration. */
export function command(parent: Command, usage: string, description: string): Command {
  return parent
    .command(usage)
    .description(description)
    .option('--json', 'answer in JSON')
    .option('--config <file>', 'configuration file (POSTERN_CONFIG; ./postern.yaml if there is one)');
}

/** A command that asks the running API. */
export function remote(parent: Command, usage: string, description: string): Command {
  return command(parent, usage, description)
    .option('--url <url>', 'address of the API (POSTERN_URL)')
    .option('--key <key>', 'API key (POSTERN_API_KEY)');
}
