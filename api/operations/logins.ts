/** Submission logins. A password is told once, where it is made. */
import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import { createLogin, listLogins, revokeLogin } from '../../core/store/login-accounts.ts';
import { findLogin } from '../../core/store/logins.ts';
import { hashPassword } from '../../core/store/passwords.ts';
import { quoted } from '../access/code-mail.ts';
import { anyId, idOf, label } from '../input/kinds.ts';
import { approvalCode } from '../input/kinds-of-mailbox.ts';
import { operation } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { iso } from '../views/emails.ts';
import { actingAs, refuseOwnedPerson, stillThere } from './keys.ts';
import { namedMailbox } from './mailboxes.ts';

const Login = z.object({
  id: z.string(),
  username: z.string(),
  mailbox_id: z.string(),
  mailbox: z.string(),
  principal: z.string(),
  owner: z.string().nullable(),
  created_at: z.string(),
  last_used_at: z.string().nullable(),
  is_active: z.boolean(),
});

export const listAllLogins = operation({
  name: 'list_logins',
  summary: 'All submission logins',
  area: 'logins',
  access: 'admin',
  method: 'GET',
  path: '/v1/logins',
  input: z.object({}),
  output: z.object({ logins: z.array(Login) }),
  async handle(_, { runtime }) {
    const logins = await listLogins(runtime.database.pool);
    return {
      logins: logins.map((login) => ({
        id: login.id,
        username: login.username,
        mailbox_id: login.mailboxId,
        mailbox: login.mailbox,
        principal: login.principalName,
        owner: login.owner,
        created_at: login.createdAt.toISOString(),
        last_used_at: iso(login.lastUsedAt),
        is_active: login.revokedAt === null,
      })),
    };
  },
});

function taken(): Problem {
  return new Problem(409, 'already_exists', 'This username is, or was, given to a login.', {
    field: 'username',
  });
}

export const addLogin = operation({
  name: 'create_login',
  summary: 'Make a submission login for a mailbox; a password that is made here is shown this once',
  area: 'logins',
  access: 'admin',
  method: 'POST',
  path: '/v1/logins',
  status: 201,
  input: z.object({
    mailbox: z.string().min(1).max(320).describe('Id or address of the mailbox it is bound to'),
    username: z
      .string()
      .regex(/^[!-~]{1,254}$/, 'must be 1 to 254 printable characters without blanks')
      .optional()
      .describe("The mailbox's address when left out"),
    password: z.string().min(12).max(128).optional().describe('Made here when left out'),
    principal: label.optional().describe('Who sends with it; an agent named as the login'),
    principal_kind: z.enum(['agent', 'user']).default('agent'),
    owner: label.optional().describe('User who answers for the agent and may not approve its mail'),
    approval_code: approvalCode,
  }),
  output: z.object({
    id: z.string(),
    username: z.string(),
    password: z.string().optional(),
    mailbox_id: z.string(),
    mailbox: z.string(),
    principal: z.string(),
  }),
  // As for a key that sends: else an admin's key could make itself another sender, and approve what that one sends.
  async guard({ mailbox, username, principal_kind, owner }, call) {
    refuseOwnedPerson(principal_kind, owner);
    const { address } = await namedMailbox(mailbox, call);
    if ((await findLogin(call.runtime.database.pool, username ?? address)) !== undefined) throw taken();
    return 'medium';
  },
  asks: async ({ mailbox, username, principal, principal_kind, owner }, call) => {
    const { address } = await namedMailbox(mailbox, call);
    const called = username === undefined ? '' : ` called ${quoted(username)}`;
    return `make a login${called} that sends mail as ${quoted(address)}${actingAs(principal, principal_kind, owner)}`;
  },
  async handle(input, call) {
    const mailbox = await namedMailbox(input.mailbox, call);
    const username = input.username ?? mailbox.address;
    const password = input.password ?? randomBytes(18).toString('base64url');
    const principal = {
      kind: input.principal_kind,
      name: input.principal ?? username,
      owner: input.owner ?? null,
    };
    const login = { mailboxId: mailbox.id, username, passwordHash: await hashPassword(password), principal };
    const made = await call.runtime.database.transaction(async (db) => {
      await stillThere(db, mailbox.id);
      return createLogin(db, login, call.caller.actor);
    });
    if (made === undefined) throw taken();
    return {
      id: made.id,
      username,
      ...(input.password === undefined && { password }),
      mailbox_id: mailbox.id,
      mailbox: mailbox.address,
      principal: principal.name,
    };
  },
});

export const removeLogin = operation({
  name: 'revoke_login',
  summary: 'End a submission login',
  area: 'logins',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/logins/:id',
  input: z.object({ id: anyId }),
  output: z.object({ id: z.string(), status: z.literal('revoked') }),
  async handle({ id }, { runtime, caller }) {
    if (!(await revokeLogin(runtime.database.pool, idOf(id, 'login'), caller.actor)))
      throw notFound('There is no such login.');
    return { id, status: 'revoked' as const };
  },
});

export const loginOperations = [listAllLogins, addLogin, removeLogin];
