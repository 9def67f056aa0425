/**
 * What people say about single messages, and what it does.
 *
 *   approve ─▶ queued | scheduled | available        cancel ──────▶ cancelled
 *   reject ──▶ rejected (DSN owed by SMTP)           settleDoubt ─▶ queued | relayed | failed
 *
 * Each is one statement, so of several that race exactly one wins; the others are told which. The row is the
 * truth, the bell that follows only saves time.
 */
import type { Actor } from '../core/mail/actor.ts';
import { messageDigest } from '../core/mail/digest.ts';
import { newId } from '../core/mail/id.ts';
import type { State, Step } from '../core/mail/lifecycle.ts';
import { signToken } from '../core/mail/token.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import {
  type Approved,
  decide,
  readStoredContent,
  type Standing,
  standing,
} from '../core/store/reviewing.ts';
import * as withdrawing from '../core/store/withdrawing.ts';
import {
  AlreadyDecided,
  AlreadyHandedOff,
  ContentChanged,
  EditorApproval,
  Expired,
  MailboxShut,
  NotFound,
  SelfApproval,
  WrongState,
} from './refusals.ts';

export { type Edit, type Edited, edit } from './editing.ts';
export * from './refusals.ts';

export type House = Pick<Runtime, 'config' | 'database' | 'bells' | 'log' | 'metrics' | 'signer'>;

/** Who decides, and on what. Scopes are checked at the door; here only who composed matters. */
export interface Answer {
  messageId: string;
  /** Hex digest of what the reviewer saw. */
  digest: string;
  principal: { id: string; name: string };
  actor: Actor;
  reason?: string | null;
}

export interface Decided {
  messageId: string;
  /** Where the message is now. */
  state: State;
  decision: 'approve' | 'reject';
  digest: string;
  by: string;
  at: Date;
  /** The same principal had said the same before; nothing was done this time. */
  repeated: boolean;
}

/**
 * Lets a held message go on. Throws NotFound, SelfApproval, ContentChanged, Expired, MailboxShut, AlreadyDecided or
 * WrongState; then nothing has changed. Also throws ContentChanged when the stored bytes are not those that the
 * digest names, whatever the reviewer saw.
 */
export async function approve(house: House, answer: Answer): Promise<Decided> {
  const { messageId, digest } = answer;
  const stored = await readStoredContent(house.database.pool, messageId);
  if (stored === undefined) throw new NotFound();
  const actual = messageDigest(stored);
  const recipients = new Set(stored.direction === 'outbound' ? stored.recipients : stored.forwardPaths);
  const sameRecipients =
    recipients.size === new Set(stored.forwardPaths).size &&
    stored.forwardPaths.every((path) => recipients.has(path));
  if (stored.digest !== actual || !sameRecipients) {
    house.log.error({ message: messageId }, 'a held message is not what its digest names: not approved');
    throw new ContentChanged(actual);
  }
  if (digest !== actual) throw new ContentChanged(actual);
  return review(house, 'approve', answer);
}

/** Ends a held message; `reason` is shown to its sender. Throws as `approve` does. */
export async function reject(house: House, answer: Answer): Promise<Decided> {
  return review(house, 'reject', answer);
}

const TRIES = 3;

async function review(house: House, decision: 'approve' | 'reject', answer: Answer): Promise<Decided> {
  const { database, metrics } = house;
  const { messageId, digest, principal, actor, reason = null } = answer;
  const editorMayApprove = house.config.oversight.editor_may_approve;
  const receipt = await receipts(house);
  // A message that becomes held just after the statement missed it is worth another look.
  for (let attempt = 1; ; attempt++) {
    const row = {
      id: newId(),
      messageId,
      decision,
      digest,
      principal,
      actor,
      reason,
      editorMayApprove,
      receipt,
    };
    const done = await decide(database, row);
    const stands = await standing(database.pool, messageId, principal.id);
    if (stands === undefined) throw new NotFound();
    if (done !== undefined) {
      const { state, at } = done;
      metrics.review(stepTo(state), 'done');
      if (state === 'queued' || state === 'rejected') house.bells.ring('delivery', [messageId]);
      return {
        messageId,
        state,
        decision,
        digest,
        by: principal.name,
        at,
        repeated: false,
      };
    }
    if (isRepetition(stands, decision, answer)) return repetition(stands, answer);
    const refusal = refusalOf(stands, decision, digest, editorMayApprove);
    if (refusal === undefined && attempt < TRIES) continue;
    metrics.review(decision, refusal instanceof AlreadyDecided ? 'stale' : 'refused');
    throw refusal ?? new WrongState('decide', stands.state);
  }
}

/** Signs receipts in Postern's name (api 5.5), so that an approval can be shown to have been given, to whoever asks. */
async function receipts({ signer }: House): Promise<(approved: Approved) => string> {
  const key = await signer.current();
  return ({ approval, approver, at, contentDigest, policyHash }) =>
    signToken(
      { approval, approver, at: at.toISOString(), content_digest: contentDigest, policy_hash: policyHash },
      key,
    );
}

function stepTo(state: State): Step {
  const steps: Partial<Record<State, Step>> = {
    rejected: 'reject',
    scheduled: 'postpone',
    available: 'admit',
  };
  return steps[state] ?? 'approve';
}

/** A retry over a broken connection gets the answer it missed. */
function isRepetition(stands: Standing, decision: string, { digest, principal }: Answer): boolean {
  return (
    !['held', 'expired'].includes(stands.state) &&
    stands.decidedById === principal.id &&
    stands.decision === decision &&
    stands.decidedDigest === digest
  );
}

function repetition(stands: Standing, { messageId, digest }: Answer): Decided {
  const { state } = stands;
  return {
    messageId,
    state,
    decision: stands.decision!,
    digest,
    by: stands.decidedBy!,
    at: stands.decidedAt!,
    repeated: true,
  };
}

/** Why the statement changed nothing; undefined when there is no reason any more. */
function refusalOf(
  stands: Standing,
  decision: 'approve' | 'reject',
  digest: string,
  editorMayApprove: boolean,
): Error | undefined {
  const { state, shut } = stands;
  if (stands.isOwn) return new SelfApproval();
  if (stands.quarantined && state === 'held') return new WrongState('decide', state);
  if (state === 'expired' || stands.holdExpired) return new Expired();
  if (state !== 'held') {
    return stands.decision === null || state === 'cancelled'
      ? new WrongState('decide', state)
      : new AlreadyDecided({ decision: stands.decision, by: stands.decidedBy!, at: stands.decidedAt! });
  }
  if (stands.digest !== digest) return new ContentChanged(stands.digest);
  if (decision === 'approve' && shut !== null) return new MailboxShut(shut);
  if (decision === 'approve' && stands.edited && !editorMayApprove) return new EditorApproval();
  return undefined;
}

export interface Cancelled {
  messageId: string;
  state: 'cancelled';
  /** It had been cancelled before. */
  repeated: boolean;
}

/**
 * Stops a message that has not begun to leave: after this no attempt follows, ever. Throws NotFound,
 * AlreadyHandedOff or WrongState.
 */
export async function cancel(house: House, order: { messageId: string; actor: Actor }): Promise<Cancelled> {
  const { messageId, actor } = order;
  for (let attempt = 1; ; attempt++) {
    if (await withdrawing.cancel(house.database, messageId, actor)) {
      house.metrics.review('cancel', 'done');
      return { messageId, state: 'cancelled', repeated: false };
    }
    const stands = await standing(house.database.pool, messageId, null);
    if (stands === undefined) throw new NotFound();
    if (stands.state === 'cancelled') return { messageId, state: 'cancelled', repeated: true };
    const refusal = tooLate(stands);
    if (refusal === undefined && attempt < TRIES) continue;
    house.metrics.review('cancel', refusal instanceof AlreadyHandedOff ? 'stale' : 'refused');
    throw refusal ?? new AlreadyHandedOff(stands.state);
  }
}

/** Undefined: an attempt that stood in the way has ended meanwhile, and the message is free again. */
function tooLate({ state, handedOff }: Standing): Error | undefined {
  if (['received', 'held', 'scheduled', 'queued'].includes(state))
    return handedOff ? new AlreadyHandedOff(state) : undefined;
  if (['relaying', 'relayed', 'in_doubt'].includes(state)) return new AlreadyHandedOff(state);
  return new WrongState('cancel', state);
}

export interface Settlement {
  messageId: string;
  outcome: 'retry' | 'sent' | 'failed';
  actor: Actor;
  reason?: string | null;
}

/** A person's word on a message in doubt. Throws NotFound, or WrongState when it is not in doubt. */
export async function settleDoubt(
  house: House,
  settlement: Settlement,
): Promise<{ messageId: string; state: State }> {
  const { messageId, outcome, actor, reason = null } = settlement;
  const settled = await withdrawing.settleDoubt(house.database, messageId, outcome, actor, reason);
  if (settled === undefined) {
    const stands = await standing(house.database.pool, messageId, null);
    throw stands === undefined ? new NotFound() : new WrongState('settle', stands.state);
  }
  if (settled.state === 'queued' || settled.dsnOwed) house.bells.ring('delivery', [messageId]);
  return { messageId, state: settled.state };
}
