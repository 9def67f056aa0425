/** `postern key`: what programs and reviewers show to the API. */
import type { Command } from 'commander';
import { createKey, type KeyFacts, listKeys, revokeKey, SCOPES, type Scope } from '../../core/store/keys.ts';
import { command, group } from '../command.ts';
import { mailboxCalled } from '../mailboxes.ts';
import { Failure, misuse, say, table, when } from '../output.ts';
import type { Common } from '../settings.ts';
import { withStore } from '../store.ts';
import { readCount, readWords } from '../words.ts';

interface CreateOptions extends Common {
  scopes: string;
  agent?: string;
  user?: string;
  owner?: string;
  mailbox?: string;
  expiresDays?: string;
}

export function addKeyCommands(program: Command): void {
  const key = group(program, 'key', 'API keys');
  command(key, 'create <name>', 'make a key; it is shown this once')
    .option('--scopes <list>', `what it may do: ${SCOPES.join(', ')}`, 'read')
    .option('--agent <name>', 'the program it is for (default: the name of the key)')
    .option('--user <name>', 'the person it is for (default for oversight and admin)')
    .option('--owner <user>', 'the person who answers for that program, and may not approve its mail')
    .option('--mailbox <mailbox>', 'the only mailbox it may see and use')
    .option('--expires-days <days>', 'days after which it ends')
    .action(create);
  command(key, 'list', 'list keys').action(list);
  command(key, 'revoke <key>', 'end a key at once; named by id, prefix or name').action(revoke);
}

async function create(name: string, options: CreateOptions): Promise<void> {
  const scopes = readWords('scope', options.scopes, SCOPES);
  if (scopes.length === 0) throw misuse('a key needs a scope', `there are ${SCOPES.join(', ')}`);
  if (scopes.includes('send') && scopes.includes('oversight'))
    throw misuse('a key never holds send and oversight together: who composes does not approve');
  const days =
    options.expiresDays === undefined ? undefined : readCount('--expires-days', options.expiresDays);
  const principal = principalOf(name, scopes, options);
  await withStore(options, async ({ config, database, actor }) => {
    const mailbox =
      options.mailbox === undefined ? undefined : await mailboxCalled(database.pool, options.mailbox);
    const made = await createKey(
      database.pool,
      {
        name,
        scopes,
        principal,
        mailboxId: mailbox?.id ?? null,
        expiresAt: days === undefined ? null : new Date(Date.now() + days * 86_400_000),
      },
      config.environment,
      actor,
    );
    say(options, { id: made.id, api_key: made.apiKey, prefix: made.prefix, name, scopes }, () => [
      made.apiKey,
      `(${name}: ${scopes.join(', ')}; it is not shown again)`,
    ]);
  });
}

function principalOf(name: string, scopes: Scope[], { agent, user, owner }: CreateOptions) {
  if (agent !== undefined && user !== undefined) throw misuse('--agent and --user exclude each other');
  if (user !== undefined && owner !== undefined)
    throw misuse('--owner is for programs: nobody answers for a person');
  if (user !== undefined) return { kind: 'user' as const, name: user };
  const byPerson = scopes.includes('oversight') || scopes.includes('admin');
  if (agent === undefined && owner === undefined && byPerson) return { kind: 'user' as const, name };
  return { kind: 'agent' as const, name: agent ?? name, owner: owner ?? null };
}

async function list(options: Common): Promise<void> {
  await withStore(options, async ({ database }) => {
    const all = await listKeys(database.pool);
    say(options, { keys: all.map(shown) }, () =>
      table(
        ['name', 'prefix', 'scopes', 'for', 'last used', 'state', 'id'],
        all.map((key) => [
          key.name,
          `${key.prefix}…`,
          key.scopes,
          `${key.principalKind} ${key.principalName}`,
          when(key.lastUsedAt),
          stateOf(key),
          key.id,
        ]),
        'no keys; make one by "postern key create admin --scopes admin"',
      ),
    );
  });
}

function stateOf(key: KeyFacts): 'active' | 'revoked' | 'expired' {
  if (key.revokedAt !== null) return 'revoked';
  return key.expiresAt !== null && key.expiresAt <= new Date() ? 'expired' : 'active';
}

async function revoke(name: string, options: Common): Promise<void> {
  await withStore(options, async ({ database, actor }) => {
    const key = named(await listKeys(database.pool), name);
    await revokeKey(database.pool, key.id, actor);
    say(options, { id: key.id, status: 'revoked' }, () => `${key.name} (${key.prefix}…) is revoked`);
  });
}

/** By id, then by prefix, then by name; a name that several living keys bear is no answer. */
function named(keys: KeyFacts[], name: string): KeyFacts {
  const exact = keys.find(({ id, prefix }) => id === name || prefix === name || prefix === name.slice(0, 14));
  if (exact !== undefined) return exact;
  const called = keys.filter((key) => key.name === name && key.revokedAt === null);
  if (called.length === 1) return called[0]!;
  if (called.length > 1)
    throw misuse(
      `${called.length} keys are called ${name}`,
      `name one by its id: ${called.map(({ id }) => id).join(', ')}`,
    );
  throw new Failure(`there is no key ${name}`, {
    code: 'not_found',
    hint: '"postern key list" shows what there is',
  });
}

function shown(key: KeyFacts) {
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    scopes: key.scopes,
    principal: { kind: key.principalKind, name: key.principalName },
    owner: key.owner,
    mailbox_id: key.mailboxId,
    state: stateOf(key),
    created_at: key.createdAt,
    expires_at: key.expiresAt,
    last_used_at: key.lastUsedAt,
    revoked_at: key.revokedAt,
  };
}
