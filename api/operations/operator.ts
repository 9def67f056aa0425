/**
 * Operator sessions: one code, and for a quarter of an hour the key that showed it needs none for operations of the
 * medium tier. Those of the high tier always need their own.
 */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import { readAccount } from '../../core/store/account.ts';
import { tryCode } from '../../core/store/operator-codes.ts';
import { beginSession, currentSession, endSessions } from '../../core/store/operator-sessions.ts';
import { codeAddress, mailCode } from '../access/code-mail.ts';
import { requireRate } from '../access/limiter.ts';
import { invalidCode } from '../access/operator-codes.ts';
import { Answer, operation } from '../operation.ts';
import { Problem } from '../problem.ts';

const LIFE_SECONDS = 900;
const REQUESTS_AN_HOUR = 5;
const COOKIE = 'postern_operator';

export const startSession = operation({
  name: 'start_operator_session',
  summary: 'Mail a code that opens an operator session of this key',
  area: 'account',
  access: 'admin',
  method: 'POST',
  path: '/v1/operator/start-session',
  status: 202,
  input: z.object({}),
  output: z.object({ status: z.literal('code_sent'), masked_email: z.string() }),
  async handle(_, call) {
    const { pool } = call.runtime.database;
    const { key } = call.caller;
    const to = await codeAddress(pool, (await readAccount(pool)).oversightAddress);
    await requireRate(call.runtime, 'sessions', key.id, REQUESTS_AN_HOUR, 3600);
    const sent = await mailCode(
      call,
      {
        purpose: 'session',
        subjectId: key.id,
        operation: 'session',
        boundTo: bindingOf(key.id),
        words:
          'manage this Postern for 15 minutes: its name, mailboxes, logins, keys of lesser rights, allowlists, webhooks',
        lifeSeconds: LIFE_SECONDS,
        replaces: true,
      },
      to,
    );
    return { status: 'code_sent' as const, masked_email: sent.maskedEmail };
  },
});

export const verifySession = operation({
  name: 'verify_operator_session',
  summary: 'Open an operator session with the code that was mailed',
  area: 'account',
  access: 'admin',
  method: 'POST',
  path: '/v1/operator/verify-session',
  input: z.object({ code: z.string().min(1).max(16) }),
  output: z.object({ status: z.literal('active'), expires_at: z.number() }),
  async handle({ code }, { runtime, caller }) {
    const { secret } = await readAccount(runtime.database.pool);
    const { id } = caller.key;
    const tried = await runtime.database.transaction((db) =>
      tryCode(
        db,
        { purpose: 'session', subjectId: id, code, boundTo: () => bindingOf(id) },
        secret,
        caller.actor,
      ),
    );
    if (tried.result === 'unasked')
      throw new Problem(404, 'no_pending_code', 'No code for an operator session was asked for.');
    if (tried.result === 'wrong') throw invalidCode();
    const begun = await runtime.database.transaction((db) =>
      beginSession(db, id, LIFE_SECONDS, caller.actor),
    );
    return new Answer(
      200,
      { status: 'active' as const, expires_at: begun.expiresAt.getTime() },
      { 'set-cookie': cookie(begun.token, LIFE_SECONDS) },
    );
  },
});

export const endSession = operation({
  name: 'end_operator_session',
  summary: 'End the operator session of this key',
  area: 'account',
  access: 'admin',
  method: 'POST',
  path: '/v1/operator/end-session',
  input: z.object({}),
  output: z.object({ status: z.literal('ended') }),
  async handle(_, { runtime, caller }) {
    await endSessions(runtime.database.pool, caller.key.id, caller.actor);
    return new Answer(200, { status: 'ended' as const }, { 'set-cookie': cookie('', 0) });
  },
});

export const showSession = operation({
  name: 'get_operator_session',
  summary: 'Whether this key has an operator session, and until when',
  area: 'account',
  access: 'admin',
  method: 'GET',
  path: '/v1/operator/session',
  input: z.object({}),
  output: z.object({
    active: z.boolean(),
    expires_at: z.number().nullable(),
    max_tier: z.enum(['medium']).nullable(),
  }),
  async handle(_, { runtime, caller }) {
    const session = await currentSession(runtime.database.pool, caller.key.id);
    return {
      active: session !== undefined,
      expires_at: session?.expiresAt.getTime() ?? null,
      max_tier: session === undefined ? null : ('medium' as const),
    };
  },
});

/** For browsers; programs are known by their key. */
function cookie(token: string, seconds: number): string {
  return `${COOKIE}=${token}; Path=/; Max-Age=${seconds}; HttpOnly; Secure; SameSite=Strict`;
}

function bindingOf(keyId: string): Buffer {
  return createHash('sha256')
    .update(JSON.stringify(['session', keyId]))
    .digest();
}

export const operatorOperations = [startSession, verifySession, endSession, showSession];
