/** Withdrawing mail that has not left. */
import { z } from 'zod';
import { anyId } from '../input/kinds.ts';
import { operation } from '../operation.ts';
import { seenIn } from '../reading/seen.ts';
import { cancelMessage } from '../reviewing/reviews.ts';

export const cancelEmail = operation({
  name: 'cancel_message',
  summary: 'Withdraw a message that has not begun to leave; 200 means it never will',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/mailboxes/:mailbox_id/emails/:email_id/cancel',
  input: z.object({ mailbox_id: z.string().min(1).max(320), email_id: anyId }),
  output: z.object({
    id: z.string(),
    email_id: z.string(),
    message_id: z.string(),
    status: z.literal('cancelled'),
  }),
  tool: {
    description:
      'Withdraws a message that has not begun to leave. If it answers cancelled, the message never leaves.',
    takes: ['email_id'],
    hints: ['destructive', 'idempotent'],
  },
  async handle({ mailbox_id, email_id }, call) {
    const message = await seenIn(mailbox_id, email_id, call);
    await cancelMessage(message, call);
    return { id: message.id, email_id: message.id, message_id: message.id, status: 'cancelled' as const };
  },
});

export const cancelOperations = [cancelEmail];
