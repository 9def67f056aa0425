/** Mail of all mailboxes by where it is in its life, for those who run the gateway: listed, shown, hurried, settled. */
import { z } from 'zod';
import { STATES, type State } from '../../core/mail/lifecycle.ts';
import { listQueue } from '../../core/store/listing.ts';
import { hurry } from '../../core/store/overview.ts';
import { afterCursor, cursorOf } from '../input/cursor.ts';
import { anyId, limit, several } from '../input/kinds.ts';
import { operation } from '../operation.ts';
import { withStructure } from '../reading/bodies.ts';
import { mailboxFilter, refuseHeldInbound, seen } from '../reading/seen.ts';
import { settleMessage } from '../reviewing/reviews.ts';
import { EmailDetail, EmailSummary, emailOf } from '../views/emails.ts';
import { listed, wrongStatus } from './emails.ts';

const state = several.transform((words, context): State[] => {
  const unknown = words.find((word) => !(STATES as string[]).includes(word));
  if (unknown === undefined) return words as State[];
  context.addIssue({ code: 'custom', message: `there is no state ${unknown.slice(0, 40)}` });
  return z.NEVER;
});

export const listQueuedEmails = operation({
  name: 'list_queued_emails',
  summary: 'Messages of all mailboxes by their state, newest first',
  area: 'queue',
  access: ['read', 'oversight'],
  confined: true,
  method: 'GET',
  path: '/v1/queue/emails',
  input: z.object({
    mailbox: z.string().max(320).optional().describe('Id or address of the mailbox'),
    state: state.optional().describe('States of the lifecycle, by comma'),
    kind: z.enum(['mail', 'dsn', 'copy', 'notice']).optional().describe('mail, or what Postern wrote itself'),
    limit: limit(20, 100),
    cursor: z.string().max(200).optional(),
  }),
  output: z.object({ emails: z.array(EmailSummary), cursor: z.string().nullable() }),
  async handle(input, call) {
    const { messages, more } = await listQueue(call.runtime.database.pool, {
      mailboxId: await mailboxFilter(input.mailbox, call),
      states: input.state === undefined || input.state.length === 0 ? null : input.state,
      kind: input.kind ?? null,
      afterId: afterCursor(input.cursor),
      limit: input.limit,
    });
    return {
      emails: messages.map((message) => listed(message, call)),
      cursor: more ? cursorOf(messages.at(-1)!.id) : null,
    };
  },
});

export const showQueuedEmail = operation({
  name: 'show_queued_email',
  summary: 'One message with its recipients, reasons and decisions; without its text, and marked as nothing',
  area: 'queue',
  access: ['read', 'oversight'],
  confined: true,
  method: 'GET',
  path: '/v1/queue/emails/:email_id',
  input: z.object({ email_id: anyId }),
  output: EmailDetail,
  async handle({ email_id }, call) {
    const message = await seen(email_id, call);
    refuseHeldInbound(message, call);
    return emailOf(await withStructure(message, call.runtime.database.pool));
  },
});

export const retryEmail = operation({
  name: 'retry_email',
  summary: 'Try a message now that waits for its next attempt; a message in doubt is sent again',
  area: 'queue',
  access: 'admin',
  confined: true,
  method: 'POST',
  path: '/v1/emails/:email_id/retry',
  input: z.object({ email_id: anyId, reason: z.string().max(2000).optional() }),
  output: z.object({ id: z.string(), status: z.string() }),
  async handle({ email_id, reason }, call) {
    const message = await seen(email_id, call);
    if (message.state === 'in_doubt') return settleMessage(message, 'retry', reason ?? null, call);
    if (
      message.state !== 'queued' ||
      !(await hurry(call.runtime.database.pool, message.id, call.caller.actor))
    )
      throw wrongStatus(message, 'Only a message that is queued or in doubt can be retried.');
    call.runtime.bells.ring('delivery', [message.id]);
    return { id: message.id, status: 'queued' };
  },
});

export const settleEmail = operation({
  name: 'settle_email',
  summary: 'Say what became of a message in doubt: send it again, or take it as sent or failed',
  area: 'queue',
  access: 'admin',
  confined: true,
  method: 'POST',
  path: '/v1/emails/:email_id/settle',
  input: z.object({
    email_id: anyId,
    outcome: z.enum(['retry', 'sent', 'failed']),
    reason: z.string().max(2000).optional(),
  }),
  output: z.object({ id: z.string(), status: z.string() }),
  async handle({ email_id, outcome, reason }, call) {
    const message = await seen(email_id, call);
    if (message.state !== 'in_doubt') throw wrongStatus(message, 'Only a message in doubt can be settled.');
    return settleMessage(message, outcome, reason ?? null, call);
  },
});

export const queuedEmailOperations = [listQueuedEmails, showQueuedEmail, retryEmail, settleEmail];
