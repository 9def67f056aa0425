/**
 * What a person has to confirm: the same call passes once it shows the code that was mailed to them.
 *
 *   call ─▶ medium, and the key has an operator session? ──────────────▶ passes
 *        ─▶ an admin said yes to exactly this in the dashboard? ───────▶ passes once
 *        ─▶ with approval_code: right, for exactly this? ──────────────▶ passes once; else 403
 *        ─▶ without: a code is mailed ─▶ 202, and nothing is done
 *
 * A code is bound to principal, operation and request, and to what its mail said would come of them. The answer, the
 * log and the audit never hold it.
 */
import { createHmac } from 'node:crypto';
import { z } from 'zod';
import { readAccount } from '../../core/store/account.ts';
import { noteConfirmed, takeConfirmed, tryCode } from '../../core/store/operator-codes.ts';
import { currentSession } from '../../core/store/operator-sessions.ts';
import type { Call, Operation, Tier } from '../operation.ts';
import { Problem } from '../problem.ts';
import { codeAddress, mailCode } from './code-mail.ts';
import { requireRate } from './limiter.ts';

/** The answer to a call that waits for its code. */
export const PendingApproval = z.object({
  status: z.literal('pending_approval'),
  message: z.string(),
  operation: z.string(),
  masked_email: z.string(),
  expires_at: z.string(),
});

export interface Pending {
  status: 202;
  headers: Record<string, string>;
  body: z.input<typeof PendingApproval>;
}

const LIFE_SECONDS = 900;
const MAILS_AN_HOUR = 5;

/** Undefined when the call may go on; else the 202 that says a code was mailed. Throws where the code is wrong. */
export async function confirmed(
  operation: Operation,
  tier: Tier,
  input: Record<string, unknown>,
  call: Call,
): Promise<Pending | undefined> {
  const { pool } = call.runtime.database;
  const account = await readAccount(pool);
  const words = (await operation.asks?.(input, call)) ?? lowerFirst(operation.summary);
  const boundTo = bindingOf(account.secret, [call.caller.key.principalId, operation.name, words], input);
  const by = await whoStandsBehind(tier, boundTo, account.secret, call);
  if (by === undefined) return ask(operation, words, boundTo, account.oversightAddress, call);
  await noteConfirmed(pool, { operation: operation.name, tier, ...by }, call.caller.actor);
  passed.set(call, tier);
  return undefined;
}

/** What was confirmed of calls that are being carried out. */
const passed = new WeakMap<Call, Tier>();

/**
 * For who carries a call out, when nobody else can change any more what it is about: the guard looked before, and
 * what it saw may have changed since. Throws unless a person stands behind as much as is at stake now.
 */
export function requireConfirmed(call: Call, tier: Tier | null): void {
  const confirmed = passed.get(call);
  if (tier === null || confirmed === tier || confirmed === 'high') return;
  throw changedMeanwhile();
}

/** The call may be made again: it is then judged by how things are now. */
export function changedMeanwhile(): Problem {
  return new Problem(
    503,
    'unavailable',
    'What this call is about was changed at the same moment; make it again.',
    {},
    { 'retry-after': '1' },
  );
}

type Behind = { by: 'code' | 'session' | 'dashboard'; id: string };

async function whoStandsBehind(
  tier: Tier,
  boundTo: Buffer,
  secret: Buffer,
  call: Call,
): Promise<Behind | undefined> {
  const { caller, runtime } = call;
  if (call.approvalCode !== undefined) {
    const tried = { ...subjectOf(call), code: call.approvalCode, boundTo: () => boundTo };
    const done = await runtime.database.transaction((db) => tryCode(db, tried, secret, caller.actor));
    if (done.result !== 'used') throw invalidCode();
    return { by: 'code', id: done.id };
  }
  if (tier === 'medium') {
    const session = await currentSession(runtime.database.pool, caller.key.id);
    if (session !== undefined) return { by: 'session', id: session.id };
  }
  const yes = await takeConfirmed(runtime.database.pool, {
    subjectId: caller.key.principalId,
    boundTo,
    requestedBy: caller.key.id,
  });
  return yes === undefined ? undefined : { by: 'dashboard', id: yes };
}

async function ask(
  operation: Operation,
  words: string,
  boundTo: Buffer,
  oversightAddress: string | null,
  call: Call,
): Promise<Pending> {
  const to = await codeAddress(call.runtime.database.pool, oversightAddress);
  await requireRate(call.runtime, 'codes', `${call.caller.key.id} ${operation.name}`, MAILS_AN_HOUR, 3600);
  const sent = await mailCode(
    call,
    {
      ...subjectOf(call),
      operation: operation.name,
      boundTo,
      words,
      lifeSeconds: LIFE_SECONDS,
    },
    to,
  );
  return {
    status: 202,
    headers: {},
    body: {
      status: 'pending_approval',
      message: `A code was mailed to ${sent.maskedEmail}. Nothing has been done yet: make the same call again with approval_code.`,
      operation: operation.name,
      masked_email: sent.maskedEmail,
      expires_at: sent.expiresAt.toISOString(),
    },
  };
}

/** One text for every cause: which it was helps only whoever guesses. */
export function invalidCode(): Problem {
  return new Problem(
    403,
    'invalid_code',
    'This code is wrong, was used already, or is no longer valid for this request.',
  );
}

function subjectOf({ caller }: Call): { purpose: 'operation'; subjectId: string } {
  return { purpose: 'operation', subjectId: caller.key.principalId };
}

/**
 * What a code is for: who asks, which operation, what the person is told of it, and all of the request but the code.
 * Keyed, for a request may hold a password, which whoever reads a bare hash could try to guess.
 */
function bindingOf(secret: Buffer, about: string[], input: Record<string, unknown>): Buffer {
  const { approval_code: _code, idempotency_key: _key, ...request } = input;
  return createHmac('sha256', secret)
    .update('postern request\0')
    .update(JSON.stringify([...about, inOrder(request)]))
    .digest();
}

/** The same value with the members of its objects sorted, so that one request has one spelling. */
function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (typeof value !== 'object' || value === null || value instanceof Date) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, child]) => [name, inOrder(child)]),
  );
}

function lowerFirst(text: string): string {
  return `${text[0]!.toLowerCase()}${text.slice(1)}`;
}
