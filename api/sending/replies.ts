/** What a program is told about mail it has sent, at once or when it asks again. */
import { z } from 'zod';
import type { State } from '../../core/mail/lifecycle.ts';
import { isGated, isMode, type Mode, strictest } from '../../core/mail/mode.ts';
import type { NewMessage } from '../../core/store/new-message.ts';
import { isAllowlisted, readStanding, type SenderFacts } from '../../core/store/senders.ts';
import { Answer, type Call } from '../operation.ts';
import { statusOf } from '../views/statuses.ts';
import { allowlistMayCount, effective, type Order } from './order.ts';

export const SentBody = z.object({
  id: z.string(),
  email_id: z.string(),
  message_id: z.string(),
  status: z.string(),
  thread_id: z.string(),
  message: z.string(),
  pending_approval: z
    .boolean()
    .describe('Whether a person will have to approve it, as far as can be said now'),
  oversight_mode: z.string().describe('The effective one'),
  requested_oversight_mode: z.string().nullable(),
  send_at: z.string().nullable(),
  idempotent: z.boolean(),
  ignored_fields: z.array(z.string()).optional(),
});

export const AlreadySentBody = z.object({
  id: z.string(),
  email_id: z.string(),
  message_id: z.string(),
  thread_id: z.string(),
  status: z.literal('already_sent'),
  idempotent: z.literal(true),
  current_status: z.string(),
  pending_approval: z.boolean(),
  oversight_mode: z.string(),
});

type AlreadySent = z.input<typeof AlreadySentBody>;

/** The second is told with a status, and read, of its own: the operations name it under `also`. */
export type SentReply = z.input<typeof SentBody> | Answer<never>;

/** The answer to a message that was just committed. */
export async function fresh(
  order: Order,
  message: NewMessage,
  { did }: SenderFacts,
  call: Call,
): Promise<z.input<typeof SentBody>> {
  const mode = effective(order);
  return {
    ...ids(message.id),
    status: 'pending_scan',
    thread_id: message.threadId ?? message.id,
    message: 'Accepted. It is judged now; its status tells how it fares.',
    pending_approval: await needsApproval(
      {
        mode,
        allowlistCounts: allowlistMayCount(order),
        mailboxId: message.mailboxId,
        paths: message.forwardPaths,
      },
      call,
    ),
    oversight_mode: mode,
    requested_oversight_mode: order.requestedMode,
    send_at: message.sendAt?.toISOString() ?? null,
    idempotent: false,
    ...(order.ucan !== null && did === null && { ignored_fields: ['ucan'] }),
  };
}

/** The answer to a request that had been carried out before: the message it stands for, as it is now. */
export async function alreadySent(id: string, call: Call): Promise<Answer<never>> {
  const one = await readStanding(call.runtime.database.pool, id);
  const mode = one === undefined ? 'gated_all' : modeOf(one);
  const waits =
    one?.state === 'held' || ((one?.state === 'received' || one?.state === 'scheduled') && !one.approved);
  const body: AlreadySent = {
    ...ids(id),
    thread_id: one?.threadId ?? id,
    status: 'already_sent' as const,
    idempotent: true as const,
    current_status: one === undefined ? 'deleted' : statusOf({ ...one, state: one.state as State }),
    pending_approval:
      one !== undefined && waits && (one.state === 'held' || (await gateAhead(one, mode, call))),
    oversight_mode: mode,
  };
  return new Answer(200, body as never);
}

type Standing = NonNullable<Awaited<ReturnType<typeof readStanding>>>;

function modeOf({ effectiveMode, mailboxMode, requestedMode }: Standing): Mode {
  const modes = [effectiveMode, mailboxMode, requestedMode].filter((mode) => mode !== null);
  return modes.every(isMode) ? strictest('autonomous', ...modes) : 'gated_all';
}

function gateAhead(one: Standing, mode: Mode, call: Call): Promise<boolean> {
  const asksForGate = one.requestedMode !== null && isMode(one.requestedMode) && isGated(one.requestedMode);
  return needsApproval(
    {
      mode,
      allowlistCounts: one.mailboxMode === 'gated_send' && mode === 'gated_send' && !asksForGate,
      mailboxId: one.mailboxId,
      paths: one.forwardPaths,
    },
    call,
  );
}

/** What mode and allowlist say at this moment; a rule may still hold what is answered false. */
async function needsApproval(
  about: { mode: Mode; allowlistCounts: boolean; mailboxId: string; paths: string[] },
  { runtime }: Call,
): Promise<boolean> {
  if (!isGated(about.mode)) return false;
  return (
    !about.allowlistCounts || !(await isAllowlisted(runtime.database.pool, about.mailboxId, about.paths))
  );
}

function ids(id: string) {
  return { id, email_id: id, message_id: id };
}
