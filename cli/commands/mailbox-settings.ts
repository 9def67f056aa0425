/** `postern mailbox set` and `postern mailbox allow`: what can be changed of a mailbox beside its mode. */
import type { Command } from 'commander';
import type { Config } from '../../core/runtime/config.ts';
import { type MailboxChanges, type MailboxFacts, updateMailbox } from '../../core/store/accounts.ts';
import { addToAllowlist, listAllowlist, removeFromAllowlist } from '../../core/store/allowlists.ts';
import { command, group } from '../command.ts';
import { mailboxCalled, readRoute, shown } from '../mailboxes.ts';
import { Failure, facts, misuse, say, table, when } from '../output.ts';
import type { Common } from '../settings.ts';
import { type Operator, withStore } from '../store.ts';
import { readAddress, readCount, readPattern, readWord } from '../words.ts';

interface SetOptions extends Common {
  displayName?: string;
  oversightAddress?: string;
  route?: string;
  gateTiming?: string;
  holdExpiryHours?: string;
}

export function addMailboxSettings(mailbox: Command): void {
  command(mailbox, 'set <mailbox>', "change settings of a mailbox; '' takes a value away")
    .option('--display-name <text>', 'name people see beside the address')
    .option('--oversight-address <address>', 'where copies go in monitored; else the address of the account')
    .option('--route <name>', "route its outgoing mail takes; '' for the default one")
    .option('--gate-timing <word>', 'gate_first or schedule_first')
    .option('--hold-expiry-hours <hours>', 'after how long mail that is held from now on expires')
    .action(set);
  const allow = group(mailbox, 'allow', 'recipients that need no approval in gated_send');
  command(allow, 'add <mailbox> <patterns...>', 'allow ana@example.com, or *@example.com').action(add);
  command(allow, 'list <mailbox>', 'list what is allowed').action(list);
  command(allow, 'remove <mailbox> <patterns...>', 'allow no longer').action(remove);
}

async function set(name: string, options: SetOptions): Promise<void> {
  await withStore(options, async ({ config, database, actor }) => {
    const changes = changesOf(options, config);
    if (Object.keys(changes).length === 0)
      throw misuse('nothing to set', '"postern mailbox set --help" shows what can be');
    const mailbox = await mailboxCalled(database.pool, name);
    const after = await updateMailbox(database.pool, mailbox.id, changes, actor);
    say(options, shown(after ?? mailbox), () => [factsOf(after ?? mailbox), ...overruled(mailbox, config)]);
  });
}

function changesOf(options: SetOptions, config: Config): MailboxChanges {
  const { displayName, oversightAddress, route, gateTiming, holdExpiryHours } = options;
  return {
    ...(displayName !== undefined && { displayName: displayName.trim() || null }),
    ...(oversightAddress !== undefined && {
      oversightAddress: oversightAddress === '' ? null : readAddress(oversightAddress),
    }),
    ...(route !== undefined && { route: route === '' ? null : readRoute(route, config) }),
    ...(gateTiming !== undefined && {
      gateTiming: readWord('gate timing', gateTiming, ['gate_first', 'schedule_first'] as const),
    }),
    ...(holdExpiryHours !== undefined && {
      holdExpiryHours: readCount('--hold-expiry-hours', holdExpiryHours, { max: 2160 }),
    }),
  };
}

function factsOf(mailbox: MailboxFacts): string {
  return facts([
    ['address', mailbox.address],
    ['display name', mailbox.displayName],
    ['mode', mailbox.oversightMode],
    ['copies to', mailbox.oversightAddress],
    ['route', mailbox.route ?? '(the default)'],
    ['gate timing', mailbox.gateTiming],
    ['holds expire', `after ${mailbox.holdExpiryHours} hours`],
  ]);
}

/** The configuration has the last word on the mailboxes it names. */
function overruled({ address }: MailboxFacts, { mailboxes }: Config): string[] {
  return mailboxes.some((one) => one.address.toLowerCase() === address.toLowerCase())
    ? ['The configuration names this mailbox: at the next start it is brought to what stands there.']
    : [];
}

async function add(name: string, texts: string[], options: Common): Promise<void> {
  const patterns = texts.map(readPattern);
  await withStore(options, async ({ config, database, actor }) => {
    const mailbox = await mailboxCalled(database.pool, name);
    const added = await addToAllowlist(database.pool, mailbox.id, patterns, actor);
    say(options, { id: mailbox.id, address: mailbox.address, added }, () => [
      ...patterns.map((pattern) =>
        added.includes(pattern)
          ? `${mailbox.address} may write to ${pattern}`
          : `${pattern} is allowed already`,
      ),
      ...(mailbox.oversightMode === 'gated_send'
        ? ['What is held stays held until it is decided on.']
        : [`It counts in gated_send only; this mailbox is ${mailbox.oversightMode}.`]),
      ...overruled(mailbox, config),
    ]);
  });
}

async function list(name: string, options: Common): Promise<void> {
  await withStore(options, async ({ database }: Operator) => {
    const mailbox = await mailboxCalled(database.pool, name);
    const allowed = await listAllowlist(database.pool, mailbox.id);
    const entries = allowed.map(({ pattern, createdAt }) => ({ pattern, created_at: createdAt }));
    say(options, { id: mailbox.id, address: mailbox.address, allowed: entries }, () =>
      table(
        ['pattern', 'since'],
        allowed.map(({ pattern, createdAt }) => [pattern, when(createdAt)]),
        `nothing is allowed; "postern mailbox allow add ${mailbox.address} ana@example.com" does it`,
      ),
    );
  });
}

async function remove(name: string, texts: string[], options: Common): Promise<void> {
  const patterns = texts.map(readPattern);
  await withStore(options, async ({ config, database, actor }) => {
    const mailbox = await mailboxCalled(database.pool, name);
    const removed = await removeFromAllowlist(database.pool, mailbox.id, patterns, actor);
    if (removed.length === 0)
      throw new Failure(`${mailbox.address} does not allow ${patterns.join(', ')}`, {
        code: 'not_found',
        hint: `"postern mailbox allow list ${mailbox.address}" shows what it allows`,
      });
    say(options, { id: mailbox.id, address: mailbox.address, removed }, () => [
      ...removed.map((pattern) => `${pattern} is allowed no longer`),
      'Mail to it that waits in the queue is held when its turn comes.',
      ...overruled(mailbox, config),
    ]);
  });
}
