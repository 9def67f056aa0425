/** `postern …`: every command, and how it ends: 0 done, 1 it could not be done, 2 it was asked for wrongly. */
import { Command, CommanderError } from 'commander';
import { command } from './command.ts';
import { addAuditCommands } from './commands/audit.ts';
import { addCaptureCommands } from './commands/capture.ts';
import { addConfigCommands } from './commands/config.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addHeldCommands } from './commands/held.ts';
import { addKeyCommands } from './commands/key.ts';
import { addLoginCommands } from './commands/login.ts';
import { addMailboxCommands } from './commands/mailbox.ts';
import { addMigrateCommand } from './commands/migrate.ts';
import { addQueueCommands } from './commands/queue.ts';
import { addSendTestCommand } from './commands/send-test.ts';
import { addServeCommand } from './commands/serve.ts';
import { addSinkCommand } from './commands/sink.ts';
import { complain, misuse, say } from './output.ts';
import type { Common } from './settings.ts';
import { VERSION } from './version.ts';

/** Runs one command and returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  const json = argv.includes('--json');
  try {
    await build(json).parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (err) {
    if (!(err instanceof CommanderError)) return complain({ json }, err);
    if (err.code === 'commander.helpDisplayed' || err.code === 'commander.version') return 0;
    return json ? complain({ json }, misuse(err.message.replace(/^error: /, ''))) : 2;
  }
}

function build(json: boolean): Command {
  const program = new Command('postern')
    .description('A mail gateway with a policy engine: programs send, people keep the say.')
    .version(VERSION, '-V, --version')
    .showHelpAfterError('(add --help for what there is)')
    .exitOverride()
    // with --json the error is told as JSON, once, by `run`
    .configureOutput(json ? { writeErr: () => {}, outputError: () => {} } : {});
  addServeCommand(program);
  addHeldCommands(program);
  addQueueCommands(program);
  addCaptureCommands(program);
  addAuditCommands(program);
  addMailboxCommands(program);
  addKeyCommands(program);
  addLoginCommands(program);
  addSendTestCommand(program);
  addSinkCommand(program);
  addMigrateCommand(program);
  addConfigCommands(program);
  addDoctorCommand(program);
  command(program, 'version', 'which version this is').action((options: Common) =>
    say(
      options,
      { version: VERSION, node: process.versions.node },
      () => `postern ${VERSION} (Node ${process.versions.node})`,
    ),
  );
  return program;
}
