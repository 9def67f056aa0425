/** Scheduled mail, changed by whoever composed it while it waits for its hour. */
import { z } from 'zod';
import { anyId, idOf } from '../input/kinds.ts';
import { addresses, headerText, messageText, sendAt } from '../input/kinds-of-mail.ts';
import { operation } from '../operation.ts';
import { invalid } from '../problem.ts';
import { reschedule } from '../sending/rescheduling.ts';
import { namedMailbox } from './mailboxes.ts';

export const editScheduledEmail = operation({
  name: 'edit_scheduled_email',
  summary: 'Change a scheduled message; what is left out stays',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'PATCH',
  path: '/v1/mailboxes/:mailbox_id/emails/:email_id/schedule',
  strict: true,
  large: true,
  input: z.object({
    mailbox_id: z.string().min(1).max(320).describe('Id or address of the mailbox'),
    email_id: anyId,
    send_at: sendAt.optional(),
    to: addresses.refine((list) => list.length > 0, { error: 'at least one address is needed' }).optional(),
    cc: addresses.optional(),
    bcc: addresses.optional(),
    subject: headerText(998).optional(),
    markdown: messageText.optional(),
  }),
  output: z.object({
    id: z.string(),
    email_id: z.string(),
    message_id: z.string(),
    status: z.string(),
    send_at: z.string().nullable(),
    thread_id: z.string(),
    content_digest: z.string(),
  }),
  tool: {
    description:
      'Changes a message that waits for its hour: when it goes, to whom, its subject or its text. Changed content is judged anew; once a person has approved the message only send_at may change.',
    takes: ['email_id', 'send_at', 'to', 'cc', 'bcc', 'subject', 'markdown'],
    hints: ['idempotent'],
  },
  async handle({ mailbox_id, email_id, send_at, ...changes }, call) {
    const mailbox = await namedMailbox(mailbox_id, call);
    const named = Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined));
    if (send_at === undefined && Object.keys(named).length === 0)
      throw invalid(400, 'missing_field', [
        { field: 'send_at', message: 'or another field to change is needed' },
      ]);
    return reschedule({ mailbox, id: idOf(email_id, 'message'), sendAt: send_at, changes: named }, call);
  },
});

export const scheduleOperations = [editScheduledEmail];
