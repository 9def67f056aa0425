/** `postern mailbox`: whose mail it is, and how much say people keep over it. */
import type { Command } from 'commander';
import { MODES } from '../../core/mail/mode.ts';
import { createMailbox, listMailboxes, loosens, setMode } from '../../core/store/accounts.ts';
import { setAllowlist } from '../../core/store/allowlists.ts';
import { deleteMailbox } from '../../core/store/mailbox-closing.ts';
import { command, group } from '../command.ts';
import { mailboxCalled, readRoute, shown } from '../mailboxes.ts';
import { Failure, say, table } from '../output.ts';
import type { Common } from '../settings.ts';
import { type Operator, withStore } from '../store.ts';
import { readAddress, readCount, readMode, readPattern, readWord } from '../words.ts';
import { addDidCommand } from './mailbox-did.ts';
import { addMailboxSettings } from './mailbox-settings.ts';

interface AddOptions extends Common {
  mode: string;
  displayName?: string;
  oversightAddress?: string;
  route?: string;
  gateTiming: string;
  holdExpiryHours: string;
  allow?: string[];
}

export function addMailboxCommands(program: Command): void {
  const mailbox = group(program, 'mailbox', 'mailboxes and their oversight modes');
  command(mailbox, 'add <address>', 'make a mailbox, in any mode')
    .alias('create')
    .option('--mode <mode>', `oversight mode: ${MODES.join(', ')}`, 'gated_send')
    .option('--display-name <text>', 'name people see beside the address')
    .option('--oversight-address <address>', 'where copies go in monitored; else the address of the account')
    .option('--route <name>', 'route its outgoing mail takes')
    .option('--gate-timing <word>', 'gate_first or schedule_first', 'gate_first')
    .option('--hold-expiry-hours <hours>', 'after how long held mail expires', '168')
    .option('--allow <pattern...>', 'recipients that need no approval in gated_send')
    .action((address: string, options: AddOptions) => add(address, options));
  command(mailbox, 'list', 'list mailboxes').action(list);
  command(mailbox, 'set-mode <mailbox> <mode>', 'change the oversight mode of a mailbox').action(
    (name: string, mode: string, options: Common) => changeMode(name, mode, options),
  );
  command(
    mailbox,
    'delete <mailbox>',
    'close a mailbox for good: what waits is cancelled, its keys and logins end',
  )
    .requiredOption('--yes', 'its address can never be given to a mailbox again')
    .action(remove);
  addMailboxSettings(mailbox);
  addDidCommand(mailbox);
}

async function add(text: string, options: AddOptions): Promise<void> {
  const address = readAddress(text);
  const wanted = {
    address,
    displayName: options.displayName ?? null,
    oversightMode: readMode(options.mode),
    oversightAddress: options.oversightAddress === undefined ? null : readAddress(options.oversightAddress),
    gateTiming: readWord('gate timing', options.gateTiming, ['gate_first', 'schedule_first'] as const),
    holdExpiryHours: readCount('--hold-expiry-hours', options.holdExpiryHours, { max: 2160 }),
  };
  const allowed = (options.allow ?? []).map(readPattern);
  await withStore(options, async ({ config, database, actor }) => {
    const route = options.route === undefined ? null : readRoute(options.route, config);
    const made = await database.transaction(async (db) => {
      const mailbox = await createMailbox(db, { ...wanted, route }, actor);
      if (mailbox !== undefined && allowed.length > 0) await setAllowlist(db, mailbox.id, allowed, actor);
      return mailbox;
    });
    if (made === undefined)
      throw new Failure(`${address} exists already, or existed once: an address is given out once`, {
        code: 'address_in_use',
      });
    say(options, shown(made), () => `made ${made.address} (${made.oversightMode}), id ${made.id}`);
  });
}

async function list(options: Common): Promise<void> {
  await withStore(options, async ({ database }) => {
    const all = await listMailboxes(database.pool);
    say(options, { mailboxes: all.map(shown) }, () =>
      table(
        ['address', 'mode', 'copies to', 'route', 'active', 'id'],
        all.map((one) => [
          one.address,
          one.oversightMode,
          one.oversightAddress,
          one.route,
          one.isActive ? 'yes' : 'no',
          one.id,
        ]),
        'no mailboxes; make one by "postern mailbox add agent@example.com"',
      ),
    );
  });
}

async function changeMode(name: string, word: string, options: Common): Promise<void> {
  const mode = readMode(word);
  await withStore(options, async ({ database, actor }: Operator) => {
    const mailbox = await mailboxCalled(database.pool, name);
    const changed = await setMode(database.pool, mailbox.id, mode, actor);
    const previous = changed?.previous ?? mailbox.oversightMode;
    const facts = { id: mailbox.id, address: mailbox.address, oversight_mode: mode, previous_mode: previous };
    say(options, facts, () => {
      if (previous === mode) return `${mailbox.address} is ${mode} already`;
      const line = `${mailbox.address} is ${mode} now, was ${previous}`;
      return loosens(previous, mode) ? [line, 'What is held stays held until it is decided on.'] : line;
    });
  });
}

async function remove(name: string, options: Common): Promise<void> {
  await withStore(options, async ({ database, actor }) => {
    const { id, address } = await mailboxCalled(database.pool, name);
    await deleteMailbox(database, id, actor);
    say(options, { id, address, status: 'deleted' }, () => `${address} is deleted`);
  });
}
