/** API keys. The key itself is told once, where it is made. */
import { z } from 'zod';
import { findMailbox } from '../../core/store/accounts.ts';
import { createKey, type KeyFacts, listKeys, revokeKey, SCOPES } from '../../core/store/keys.ts';
import { anyId, idOf, label, moment } from '../kinds.ts';
import { operation } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { iso } from '../views.ts';

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

function keyView(key: KeyFacts): z.input<typeof Key> {
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
  async handle(_, { runtime }) {
    return { api_keys: (await listKeys(runtime.database.pool)).map(keyView) };
  },
});

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
    scopes: z.array(z.enum(SCOPES)).min(1).default(['read']),
    principal: label
      .optional()
      .describe('Who acts with it; a new agent of the name of the key when left out'),
    principal_kind: z
      .enum(['agent', 'user'])
      .optional()
      .describe('A program or a person; a person when the key has oversight or admin'),
    owner: label.optional().describe('User who answers for the agent and may not approve its mail'),
    mailbox: z.string().optional().describe('Id or address of the one mailbox it may see and use'),
    expires_at: moment.optional(),
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
  async handle(input, { runtime, caller }) {
    const scopes = [...new Set(input.scopes)];
    if (scopes.includes('send') && scopes.includes('oversight'))
      throw new Problem(400, 'scope_conflict', 'One key cannot both send and approve.', { field: 'scopes' });
    const db = runtime.database.pool;
    const mailbox = input.mailbox === undefined ? undefined : await findMailbox(db, input.mailbox);
    if (input.mailbox !== undefined && mailbox === undefined) throw notFound('There is no such mailbox.');
    const person = scopes.includes('oversight') || scopes.includes('admin');
    const principal = {
      kind: input.principal_kind ?? (person ? 'user' : 'agent'),
      name: input.principal ?? input.name,
      owner: input.owner ?? null,
    } as const;
    const made = await createKey(
      db,
      {
        name: input.name,
        scopes,
        principal,
        mailboxId: mailbox?.id ?? null,
        expiresAt: input.expires_at ?? null,
      },
      runtime.config.environment,
      caller.actor,
    );
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

export const revokeApiKey = operation({
  name: 'revoke_api_key',
  summary: 'End a key at once',
  area: 'keys',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/api-keys/:id',
  input: z.object({ id: anyId }),
  output: z.object({ id: z.string(), status: z.literal('revoked') }),
  async handle({ id }, { runtime, caller }) {
    if (!(await revokeKey(runtime.database.pool, idOf(id, 'key'), caller.actor)))
      throw notFound('There is no such key.');
    return { id, status: 'revoked' as const };
  },
});

export const keyOperations = [listApiKeys, createApiKey, revokeApiKey];
