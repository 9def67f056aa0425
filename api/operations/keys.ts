/** API keys. The key itself is told once, where it is made. */
import { z } from 'zod';
import { findMailbox, lockMailbox } from '../../core/store/accounts.ts';
import type { Db } from '../../core/store/database.ts';
import {
  createKey,
  type KeyFacts,
  listKeys,
  readKey,
  revokeKey,
  SCOPES,
  type Scope,
  updateKey,
} from '../../core/store/keys.ts';
import { quoted } from '../access/code-mail.ts';
import { changedMeanwhile, requireConfirmed } from '../access/operator-codes.ts';
import { anyId, idOf, label, moment } from '../input/kinds.ts';
import { approvalCode } from '../input/kinds-of-mailbox.ts';
import { type Call, operation, type Tier } from '../operation.ts';
import { invalid, notFound, Problem } from '../problem.ts';
import { iso } from '../views/emails.ts';

const Key = z.object({
  id: z.string(),
  name: z.string(),
  prefix: z.string(),
  scopes: z.array(z.string()),
  principal: z.string(),
  owner: z.string().nullable(),
  mailbox_id: z.string().nullable(),
  created_at: z.string(),
  last_used_at: z.string().nullable(),
  expires_at: z.string().nullable(),
  is_active: z.boolean(),
});

export function keyView(key: KeyFacts): z.input<typeof Key> {
  const over = key.revokedAt !== null || (key.expiresAt !== null && key.expiresAt <= new Date());
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    scopes: key.scopes,
    principal: key.principalName,
    owner: key.owner,
    mailbox_id: key.mailboxId,
    created_at: key.createdAt.toISOString(),
    last_used_at: iso(key.lastUsedAt),
    expires_at: iso(key.expiresAt),
    is_active: !over,
  };
}

export const listApiKeys = operation({
  name: 'list_api_keys',
  summary: 'All keys, by name and prefix',
  area: 'keys',
  access: 'admin',
  method: 'GET',
  path: '/v1/api-keys',
  input: z.object({}),
  output: z.object({ api_keys: z.array(Key) }),
  tool: {
    description: 'List the API keys by name, prefix and scopes. The keys themselves are never shown.',
    takes: [],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(_, { runtime }) {
    return { api_keys: (await listKeys(runtime.database.pool)).map(keyView) };
  },
});

const scopeList = z.array(z.enum(SCOPES)).min(1).max(20);

/** Without repeats; throws the 400 for scopes that no key holds together. */
function checkedScopes(given: Scope[]): Scope[] {
  if (given.includes('send') && given.includes('oversight'))
    throw new Problem(400, 'scope_conflict', 'One key cannot both send and approve.', { field: 'scopes' });
  return SCOPES.filter((scope) => given.includes(scope));
}

/** With these a key decides, or makes keys that do. */
function tierOf(scopes: Scope[]): Tier {
  return scopes.includes('oversight') || scopes.includes('admin') ? 'high' : 'medium';
}

export const createApiKey = operation({
  name: 'create_api_key',
  summary: 'Make a key; it is shown in this answer and never again',
  area: 'keys',
  access: 'admin',
  method: 'POST',
  path: '/v1/api-keys',
  status: 201,
  input: z.object({
    name: label,
    scopes: scopeList.default(['read']),
    principal: label
      .optional()
      .describe('Who acts with it; a new agent of the name of the key when left out'),
    principal_kind: z
      .enum(['agent', 'user'])
      .optional()
      .describe('A program or a person; a person when the key has oversight or admin'),
    owner: label.optional().describe('User who answers for the agent and may not approve its mail'),
    mailbox: z.string().max(320).optional().describe('Id or address of the one mailbox it may see and use'),
    expires_at: moment.optional(),
    approval_code: approvalCode,
  }),
  output: z.object({
    id: z.string(),
    api_key: z.string(),
    prefix: z.string(),
    name: z.string(),
    scopes: z.array(z.string()),
    principal: z.string(),
    mailbox_id: z.string().nullable(),
  }),
  tool: {
    description:
      'Make an API key for a program or a person. The first call mails a code to the operator; ask the person for it and repeat the call with that approval_code. The answer shows the key once: hand it over, do not keep it.',
    takes: ['name', 'scopes', 'approval_code'],
    requires: ['scopes'],
    hints: [],
  },
  async guard({ scopes, mailbox, principal_kind, owner }, call) {
    refuseOwnedPerson(principal_kind, owner);
    await boundMailbox(mailbox, call);
    return tierOf(checkedScopes(scopes));
  },
  asks: ({ name, scopes, mailbox, principal, principal_kind, owner }) =>
    `make an API key called ${quoted(name)} that may ${scopes.join(', ')}${
      mailbox === undefined ? ' in all mailboxes' : ` in the mailbox ${quoted(mailbox)} alone`
    }${actingAs(principal, principal_kind ?? kindFor(scopes, owner), owner)}`,
  async handle(input, call) {
    const { runtime, caller } = call;
    const scopes = checkedScopes(input.scopes);
    const mailbox = await boundMailbox(input.mailbox, call);
    const principal = {
      kind: input.principal_kind ?? kindFor(scopes, input.owner),
      name: input.principal ?? input.name,
      owner: input.owner ?? null,
    } as const;
    const key = {
      name: input.name,
      scopes,
      principal,
      mailboxId: mailbox?.id ?? null,
      expiresAt: input.expires_at ?? null,
    };
    const made = await runtime.database.transaction(async (db) => {
      if (mailbox !== undefined) await stillThere(db, mailbox.id);
      return createKey(db, key, runtime.config.environment, caller.actor);
    });
    return {
      id: made.id,
      api_key: made.apiKey,
      prefix: made.prefix,
      name: input.name,
      scopes,
      principal: principal.name,
      mailbox_id: mailbox?.id ?? null,
    };
  },
});

/** Who decides is taken for a person, unless somebody answers for it. */
function kindFor(scopes: Scope[], owner: string | undefined): 'agent' | 'user' {
  return tierOf(scopes) === 'high' && owner === undefined ? 'user' : 'agent';
}

/** A person has no owner; one that was dropped in silence would be free to approve what that key sends. */
export function refuseOwnedPerson(kind: 'agent' | 'user' | undefined, owner: string | undefined): void {
  if (kind === 'user' && owner !== undefined)
    throw invalid(400, 'invalid_field', [
      { field: 'owner', message: 'is for agents: nobody answers for a person' },
    ]);
}

/** Whose name something will be done in, as the mail with the code says it; nothing where that is a new name. */
export function actingAs(
  principal: string | undefined,
  kind: 'agent' | 'user',
  owner: string | undefined,
): string {
  const as = principal === undefined ? '' : `, in the name of the ${kind} ${quoted(principal)}`;
  return owner === undefined ? as : `${as}, for whom ${quoted(owner)} answers`;
}

async function boundMailbox(named: string | undefined, { runtime }: Call) {
  const mailbox = named === undefined ? undefined : await findMailbox(runtime.database.pool, named);
  if (named !== undefined && mailbox === undefined) throw notFound('There is no such mailbox.');
  return mailbox;
}

/** A mailbox that is being closed ends the keys and logins it has: none may come after them. */
export async function stillThere(db: Db, mailboxId: string): Promise<void> {
  if ((await lockMailbox(db, mailboxId)) === undefined) throw notFound('There is no such mailbox.');
}

export const updateApiKey = operation({
  name: 'update_api_key',
  summary: 'Rename a key, or change what it may do',
  area: 'keys',
  access: 'admin',
  method: 'PATCH',
  path: '/v1/api-keys/:key_id',
  input: z.object({
    key_id: anyId,
    name: label.optional(),
    scopes: scopeList.optional(),
    approval_code: approvalCode,
  }),
  output: z.object({ status: z.literal('updated') }),
  async guard({ key_id, scopes }, call) {
    return tierOfChange(await livingKey(key_id, call), scopes);
  },
  asks: async ({ key_id, scopes }, call) =>
    `let ${await keyInWords(key_id, call)} do this: ${(scopes ?? []).join(', ')}`,
  async handle({ key_id, name, scopes }, call) {
    const key = await livingKey(key_id, call);
    requireConfirmed(call, tierOfChange(key, scopes));
    const changes = { name: name ?? null, scopes: scopes === undefined ? null : checkedScopes(scopes) };
    const { pool } = call.runtime.database;
    if (!(await updateKey(pool, key.id, { ...changes, from: key.scopes }, call.caller.actor))) {
      await livingKey(key_id, call);
      throw changedMeanwhile();
    }
    return { status: 'updated' as const };
  },
});

/** Only what is added needs somebody's yes. */
function tierOfChange(key: KeyFacts, scopes: Scope[] | undefined): Tier | null {
  if (scopes === undefined) return null;
  const added = checkedScopes(scopes).filter((scope) => !key.scopes.includes(scope));
  return tierOf(added) === 'high' ? 'high' : null;
}

export const revokeApiKey = operation({
  name: 'revoke_api_key',
  summary: 'End a key at once; a person confirms it',
  area: 'keys',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/api-keys/:key_id',
  input: z.object({ key_id: anyId, approval_code: approvalCode }),
  output: z.object({ status: z.literal('revoked') }),
  tool: {
    description:
      'End an API key at once and for good. The first call mails a code to the operator; ask the person for it and repeat the call with that approval_code.',
    takes: ['key_id', 'approval_code'],
    hints: ['destructive', 'idempotent'],
  },
  async guard({ key_id }, call) {
    const key = await readKey(call.runtime.database.pool, idOf(key_id, 'key'));
    if (key === undefined) throw notFound('There is no such key.');
    return key.revokedAt === null ? 'medium' : null;
  },
  asks: async ({ key_id }, call) => `end ${await keyInWords(key_id, call)}`,
  async handle({ key_id }, { runtime, caller }) {
    if (!(await revokeKey(runtime.database.pool, idOf(key_id, 'key'), caller.actor)))
      throw notFound('There is no such key.');
    return { status: 'revoked' as const };
  },
});

/** By what its owner knows it. */
async function keyInWords(id: string, { runtime }: Call): Promise<string> {
  const key = await readKey(runtime.database.pool, id);
  if (key === undefined) return `the API key ${quoted(id)}`;
  return `the API key ${quoted(key.name)} (${key.prefix}...) of ${quoted(key.principalName)}`;
}

async function livingKey(id: string, { runtime }: Call): Promise<KeyFacts> {
  const key = await readKey(runtime.database.pool, idOf(id, 'key'));
  if (key === undefined || key.revokedAt !== null) throw notFound('There is no such key.');
  return key;
}

export const keyOperations = [listApiKeys, createApiKey, updateApiKey, revokeApiKey];
