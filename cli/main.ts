/** `postern …`: every command, and how it ends: 0 done, 1 it could not be done, 2 it was asked for wrongly. */
import { Command, CommanderError } from 'commander';
import { command } from './command.ts';
import { complain, misuse, say } from './output.ts';
import type { Common } from './settings.ts';
import { VERSION } from './version.ts';

/** Loaded when asked for: nobody waits for the SMTP server of a sink to list what is held. */
const COMMANDS: Record<string, (program: Command) => Promise<void>> = {
  serve: async (program) => (await import('./commands/serve.ts')).addServeCommand(program),
  held: async (program) => (await import('./commands/held.ts')).addHeldCommands(program),
  queue: async (program) => (await import('./commands/queue.ts')).addQueueCommands(program),
  capture: async (program) => (await import('./commands/capture.ts')).addCaptureCommands(program),
  audit: async (program) => (await import('./commands/audit.ts')).addAuditCommands(program),
  receipt: async (program) => (await import('./commands/receipt.ts')).addReceiptCommands(program),
  mailbox: async (program) => (await import('./commands/mailbox.ts')).addMailboxCommands(program),
  account: async (program) => (await import('./commands/account.ts')).addAccountCommands(program),
  key: async (program) => (await import('./commands/key.ts')).addKeyCommands(program),
  login: async (program) => (await import('./commands/login.ts')).addLoginCommands(program),
  verify: async (program) => (await import('./commands/verify.ts')).addVerifyCommand(program),
  identity: async (program) => (await import('./commands/identity.ts')).addIdentityCommands(program),
  'send-test': async (program) => (await import('./commands/send-test.ts')).addSendTestCommand(program),
  mcp: async (program) => (await import('./commands/mcp.ts')).addMcpCommand(program),
  sink: async (program) => (await import('./commands/sink.ts')).addSinkCommand(program),
  migrate: async (program) => (await import('./commands/migrate.ts')).addMigrateCommand(program),
  config: async (program) => (await import('./commands/config.ts')).addConfigCommands(program),
  doctor: async (program) => (await import('./commands/doctor.ts')).addDoctorCommand(program),
  version: async (program) => addVersionCommand(program),
};

/** Runs one command and returns the exit code. */
export async function run(argv: string[]): Promise<number> {
  const json = argv.includes('--json');
  try {
    const program = await build(argv[0], json);
    await program.parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (err) {
    if (!(err instanceof CommanderError)) return complain({ json }, err);
    if (err.code === 'commander.helpDisplayed' || err.code === 'commander.version') return 0;
    return json ? complain({ json }, misuse(err.message.replace(/^error: /, ''))) : 2;
  }
}

/** The whole command line, or only what the `first` word of it needs. */
export async function build(first: string | undefined, json: boolean): Promise<Command> {
  const program = new Command('postern')
    .description('A mail gateway with a policy engine: programs send, people keep the say.')
    .version(VERSION, '-V, --version')
    .showHelpAfterError('(add --help for what there is)')
    .exitOverride()
    // with --json the error is told as JSON, once, by `run`
    .configureOutput(json ? { writeErr: () => {}, outputError: () => {} } : {});
  const named = first !== undefined && Object.hasOwn(COMMANDS, first) ? COMMANDS[first] : undefined;
  for (const add of named === undefined ? Object.values(COMMANDS) : [named]) await add(program);
  return program;
}

function addVersionCommand(program: Command): void {
  command(program, 'version', 'which version this is').action((options: Common) =>
    say(
      options,
      { version: VERSION, node: process.versions.node },
      () => `postern ${VERSION} (Node ${process.versions.node})`,
    ),
  );
}
