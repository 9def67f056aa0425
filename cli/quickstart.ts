/**
 * What a first start brings to life: one mailbox whose mail a person approves, a program that writes in it,
 * a reviewer, an admin. The secrets live in `data_dir`/quickstart.json and nowhere else; what the file has
 * lost, or the database does not know, is made anew.
 */
import { join } from 'node:path';
import { type Actor, system } from '../core/mail/actor.ts';
import type { Config } from '../core/runtime/config.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { readAccount, updateAccount } from '../core/store/account.ts';
import { createMailbox, findMailbox, type MailboxFacts } from '../core/store/accounts.ts';
import { createKey, findKey, type Scope } from '../core/store/keys.ts';
import { createLogin } from '../core/store/login-accounts.ts';
import { findLogin } from '../core/store/logins.ts';
import { hashPassword, verifyPassword } from '../core/store/passwords.ts';
import { newPassword } from './password.ts';
import { type Quickstart, quickstartFile, readQuickstart, writeQuickstart } from './quickstart-file.ts';
import { type Common, type Role, reachable } from './settings.ts';
import { welcome } from './welcome.ts';

const ADDRESS = 'agent@postern.test'; // a domain that can never be on the internet (RFC 6761 §6.2)
const OPERATOR = 'operator@postern.test'; // its mail ends in the capture box, where codes can be read

export interface Accounts {
  mailbox: MailboxFacts;
  keys: Record<Role, string>;
  login: { username: string; password: string };
  /** first: nothing was there. kept: everything was. renewed: secrets were lost, and `made` are new. */
  state: 'first' | 'kept' | 'renewed';
  made: string[];
}

/** Where the rooms really listen, when 0 asked for any free port. */
export interface Bound {
  submission?: number | undefined;
  submissionTls?: number | undefined;
  mx?: number | undefined;
  http?: number | undefined;
}

const KEYS: Record<Role, { scopes: Scope[]; principal: { kind: 'agent' | 'user'; name: string } }> = {
  admin: { scopes: ['admin'], principal: { kind: 'user', name: 'admin' } },
  agent: { scopes: ['read', 'send'], principal: { kind: 'agent', name: 'agent' } },
  reviewer: { scopes: ['oversight', 'read'], principal: { kind: 'user', name: 'reviewer' } },
};

/** Finds what an earlier start made, and makes what is missing. */
export async function quickstartAccounts(runtime: Runtime): Promise<Accounts> {
  const { config, database } = runtime;
  const db = database.pool;
  const actor = system('cli');
  const before = readQuickstart(quickstartFile(config.data_dir));
  // Only where it ends in the capture box: a name that cannot be on the internet is nobody's there.
  if (isCaptured(config) && (await readAccount(db)).oversightAddress === null)
    await updateAccount(db, { oversightAddress: OPERATOR }, actor);
  const found = await findMailbox(db, before?.mailbox.id ?? ADDRESS);
  const mailbox = found ?? (await makeMailbox(runtime, actor));
  const made: string[] = [];

  const keys = {} as Record<Role, string>;
  for (const role of Object.keys(KEYS) as Role[]) {
    const kept = before?.api[`${role}_key`];
    const known = kept === undefined ? undefined : await findKey(db, kept);
    if (kept !== undefined && known !== undefined && known.revokedAt === null) keys[role] = kept;
    else {
      made.push(`the ${role} key`);
      const { apiKey } = await createKey(
        db,
        { name: `quickstart ${role}`, ...KEYS[role] },
        config.environment,
        actor,
      );
      keys[role] = apiKey;
    }
  }

  let login = before === undefined ? undefined : await livingLogin(runtime, before.submission);
  if (login === undefined) {
    made.push('the submission login');
    login = await makeLogin(runtime, mailbox, actor);
  }
  const state = found === undefined ? 'first' : made.length > 0 ? 'renewed' : 'kept';
  return { mailbox, keys, login, state, made };
}

function isCaptured({ delivery }: Config, route = delivery.default_route): boolean {
  return delivery.routes[route]?.type === 'capture';
}

async function makeMailbox({ database }: Runtime, actor: Actor): Promise<MailboxFacts> {
  // An address is given out once: after a mailbox was deleted the next one has a number.
  for (let n = 1; ; n++) {
    const address = n === 1 ? ADDRESS : ADDRESS.replace('@', `-${n}@`);
    const mailbox = { address, displayName: 'Agent', oversightMode: 'gated_send' as const };
    const made = await createMailbox(database.pool, mailbox, actor);
    if (made !== undefined) return made;
  }
}

async function livingLogin(
  { database }: Runtime,
  { username, password }: { username: string; password: string },
): Promise<Accounts['login'] | undefined> {
  const known = await findLogin(database.pool, username);
  if (known === undefined || known.revoked) return undefined;
  return (await verifyPassword(password, known.passwordHash)) ? { username, password } : undefined;
}

async function makeLogin(
  { database }: Runtime,
  mailbox: MailboxFacts,
  actor: Actor,
): Promise<Accounts['login']> {
  const password = newPassword();
  const passwordHash = await hashPassword(password);
  // a user name is given out once: after a loss the next one has a number
  for (let n = 1; ; n++) {
    const username = n === 1 ? mailbox.address : mailbox.address.replace('@', `-${n}@`);
    const login = { mailboxId: mailbox.id, username, passwordHash, principal: KEYS.agent.principal };
    if ((await createLogin(database.pool, login, actor)) !== undefined) return { username, password };
  }
}

/** The file for scripts: accounts, and where everything listens this time. */
export function quickstartOf(config: Config, { mailbox, keys, login }: Accounts, bound: Bound): Quickstart {
  const host = reachable(config.http.host);
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${bound.http ?? config.http.port}`;
  return {
    submission: {
      host: reachable(config.submission.host),
      port: bound.submission ?? config.submission.port,
      tls_port: bound.submissionTls ?? config.submission.tls_port,
      username: login.username,
      password: login.password,
      ca_file:
        config.tls.certificate_file === undefined ? join(config.data_dir, 'tls', 'certificate.pem') : null,
    },
    mx: { host: reachable(config.mx.host), port: bound.mx ?? config.mx.port },
    api: { url, admin_key: keys.admin, agent_key: keys.agent, reviewer_key: keys.reviewer },
    mailbox: { id: mailbox.id, address: mailbox.address, oversight_mode: mailbox.oversightMode },
    capture: { url: `${url}/v1/capture` },
  };
}

/** Writes the file and says what can be done now. */
export function greet(config: Config, accounts: Accounts, bound: Bound, options: Common): void {
  const quickstart = quickstartOf(config, accounts, bound);
  writeQuickstart(quickstartFile(config.data_dir), quickstart);
  process.stdout.write(
    welcome({
      quickstart,
      state: accounts.state,
      made: accounts.made,
      dataDir: config.data_dir,
      captured: isCaptured(config, accounts.mailbox.route ?? undefined),
      env: settingsForCommands(options),
    }),
  );
}

/** What was set for this process and is needed by a command in another terminal to find the same data. */
function settingsForCommands({ config }: Common): Record<string, string> {
  const file = config ?? process.env.POSTERN_CONFIG;
  const folder = process.env.POSTERN_DATA_DIR;
  return {
    ...(file ? { POSTERN_CONFIG: file } : {}),
    ...(folder ? { POSTERN_DATA_DIR: folder } : {}),
  };
}
