/** A reviewer's steps, carried out by policy/review.ts, and what its refusals are called here. */
import { record } from '../../core/store/audit.ts';
import { type MessageRecord, readMessage } from '../../core/store/messages.ts';
import { editedSinceHeld } from '../../core/store/revisions.ts';
import {
  AlreadyDecided,
  AlreadyHandedOff,
  approve,
  ContentChanged,
  cancel,
  type RefusalCode,
  ReviewRefusal,
  reject,
  SelfApproval,
  settleDoubt,
  WrongState,
} from '../../policy/review.ts';
import type { Call } from '../operation.ts';
import { invalid, notFound, Problem } from '../problem.ts';
import { statusOf } from '../views/statuses.ts';

export interface Verdict {
  action: 'approve' | 'reject';
  reason: string | null;
  /** What the reviewer saw; null for what stands there now. */
  digest: string | null;
}

/** Carries out a decision, or throws why it cannot be. Returns the message as it then is. */
export async function decideMessage(
  message: MessageRecord,
  verdict: Verdict,
  call: Call,
): Promise<MessageRecord> {
  const { key, actor } = call.caller;
  if (verdict.digest === null && (await editedSinceHeld(call.runtime.database.pool, message.id)))
    throw invalid(400, 'missing_field', [
      {
        field: 'content_digest',
        message: 'is missing: the message was edited, so say which version you saw',
      },
    ]);
  const answer = {
    messageId: message.id,
    digest: verdict.digest ?? message.digest,
    principal: { id: key.principalId, name: key.principalName },
    actor,
    reason: verdict.reason,
  };
  try {
    await (verdict.action === 'approve' ? approve : reject)(call.runtime, answer);
  } catch (err) {
    if (err instanceof ReviewRefusal) await recordRefusal(message, verdict, err, call);
    throw problemOf(err, message);
  }
  return again(message, call);
}

/** Who tried what they may not is for the audit log as well. */
async function recordRefusal(
  message: MessageRecord,
  verdict: Verdict,
  refusal: ReviewRefusal,
  { runtime, caller }: Call,
): Promise<void> {
  await record(runtime.database.pool, {
    action: 'approval.refused',
    resourceType: 'message',
    resourceId: message.id,
    mailboxId: message.mailboxId,
    actor: caller.actor,
    metadata: { decision: verdict.action, cause: refusal.code },
  });
}

/** Withdraws a message; what was withdrawn before stays so. */
export async function cancelMessage(message: MessageRecord, call: Call): Promise<void> {
  try {
    await cancel(call.runtime, { messageId: message.id, actor: call.caller.actor });
  } catch (err) {
    throw problemOf(err, message);
  }
}

export async function settleMessage(
  message: MessageRecord,
  outcome: 'retry' | 'sent' | 'failed',
  reason: string | null,
  call: Call,
): Promise<{ id: string; status: string }> {
  try {
    await settleDoubt(call.runtime, { messageId: message.id, outcome, reason, actor: call.caller.actor });
  } catch (err) {
    throw problemOf(err, message);
  }
  return { id: message.id, status: statusOf(await again(message, call)) };
}

/** The message as it is now. */
export async function again({ id }: MessageRecord, { runtime, caller }: Call): Promise<MessageRecord> {
  const found = await readMessage(runtime.database.pool, id, caller.onlyMailbox);
  if (found === undefined) throw notFound('There is no such message.');
  return found;
}

const STATUS: Record<RefusalCode, number> = {
  not_found: 404,
  already_decided: 409,
  content_changed: 409,
  self_approval: 403,
  expired: 410,
  account_disabled: 403,
  read_only: 403,
  wrong_status: 409,
  not_cancellable: 409,
  not_editable: 409,
  already_handed_off: 409,
};

/** A refusal as its answer; other errors stay what they are. */
export function problemOf(err: unknown, { direction, recipients }: MessageRecord): unknown {
  if (!(err instanceof ReviewRefusal)) return err;
  return new Problem(STATUS[err.code], err.code, err.message, {
    ...(err instanceof AlreadyDecided && {
      decision: err.decision,
      decided_by: err.by,
      decided_at: err.at.toISOString(),
    }),
    ...(err instanceof ContentChanged && { content_digest: err.digest }),
    ...((err instanceof WrongState || err instanceof AlreadyHandedOff) && {
      current_status: statusOf({ state: err.state, direction, recipients }),
    }),
    ...(err instanceof SelfApproval && { hint: 'A key of another principal has to decide.' }),
  });
}
