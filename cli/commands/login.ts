/** `postern login`: user names and passwords of SMTP submission, each bound to one mailbox. */
import type { Command } from 'commander';
import { createLogin, type LoginFacts, listLogins, revokeLogin } from '../../core/store/login-accounts.ts';
import { hashPassword } from '../../core/store/passwords.ts';
import { command, group } from '../command.ts';
import { mailboxCalled } from '../mailboxes.ts';
import { Failure, facts, misuse, say, table, when } from '../output.ts';
import { newPassword } from '../password.ts';
import type { Common } from '../settings.ts';
import { withStore } from '../store.ts';

interface AddOptions extends Common {
  username?: string;
  agent?: string;
  owner?: string;
  passwordStdin?: boolean;
}

const PASSWORD_LENGTH = 12;

export function addLoginCommands(program: Command): void {
  const login = group(program, 'login', 'logins of SMTP submission');
  command(login, 'add <mailbox>', 'make a login for a mailbox; its password is shown this once')
    .option('--username <name>', "user name (default: the mailbox's address)")
    .option('--agent <name>', 'the program it is for (default: the user name)')
    .option('--owner <user>', 'the person who answers for that program, and may not approve its mail')
    .option('--password-stdin', 'read the password from standard input')
    .action(add);
  command(login, 'list', 'list logins').action(list);
  command(login, 'revoke <login>', 'end a login; named by id or user name').action(revoke);
}

async function add(name: string, options: AddOptions): Promise<void> {
  const given = options.passwordStdin === true ? await passwordFromInput() : undefined;
  await withStore(options, async ({ database, actor }) => {
    const mailbox = await mailboxCalled(database.pool, name);
    const username = options.username ?? mailbox.address;
    const password = given ?? newPassword();
    const made = await createLogin(
      database.pool,
      {
        mailboxId: mailbox.id,
        username,
        passwordHash: await hashPassword(password),
        principal: { kind: 'agent', name: options.agent ?? username, owner: options.owner ?? null },
      },
      actor,
    );
    if (made === undefined)
      throw new Failure(`a login ${username} exists already, or existed once`, {
        code: 'already_exists',
        hint: 'choose another by --username',
      });
    const shown = given === undefined ? { password } : {};
    // a program that has an owner keeps that one, so this is what is on record and not what was asked
    const owner = (await listLogins(database.pool)).find(({ id }) => id === made.id)?.owner ?? null;
    say(options, { id: made.id, username, mailbox: mailbox.address, owner, ...shown }, () => [
      facts([
        ['user name', username],
        ['password', shown.password],
        ['mailbox', mailbox.address],
        ['owner', owner],
      ]),
      ...(options.owner === undefined || options.owner === owner
        ? []
        : [`(${options.agent ?? username} has had this owner before, and keeps it: name another --agent)`]),
    ]);
  });
}

async function passwordFromInput(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk;
  const password = text.replace(/\r?\n$/, '');
  if (password.length < PASSWORD_LENGTH || password.length > 1024)
    throw misuse(`a password has ${PASSWORD_LENGTH} to 1024 characters, this one ${password.length}`);
  return password;
}

async function list(options: Common): Promise<void> {
  await withStore(options, async ({ database }) => {
    const all = await listLogins(database.pool);
    say(options, { logins: all.map(shown) }, () =>
      table(
        ['user name', 'mailbox', 'for', 'owner', 'last used', 'state', 'id'],
        all.map((one) => [
          one.username,
          one.mailbox,
          one.principalName,
          one.owner,
          when(one.lastUsedAt),
          one.revokedAt === null ? 'active' : 'revoked',
          one.id,
        ]),
        'no logins; make one by "postern login add agent@example.com"',
      ),
    );
  });
}

async function revoke(name: string, options: Common): Promise<void> {
  await withStore(options, async ({ database, actor }) => {
    const all = await listLogins(database.pool);
    const login = all.find(({ id, username }) => id === name || username === name);
    if (login === undefined)
      throw new Failure(`there is no login ${name}`, {
        code: 'not_found',
        hint: '"postern login list" shows what there is',
      });
    await revokeLogin(database.pool, login.id, actor);
    say(options, { id: login.id, status: 'revoked' }, () => `${login.username} is revoked`);
  });
}

function shown(login: LoginFacts) {
  return {
    id: login.id,
    username: login.username,
    mailbox: { id: login.mailboxId, address: login.mailbox },
    agent: login.principalName,
    owner: login.owner,
    state: login.revokedAt === null ? 'active' : 'revoked',
    created_at: login.createdAt,
    last_used_at: login.lastUsedAt,
    revoked_at: login.revokedAt,
  };
}
