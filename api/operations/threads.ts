/** A thread as its messages tell it, without their texts. */
import { z } from 'zod';
import type { MessageFacts } from '../../core/store/messages.ts';
import { listThread } from '../../core/store/threads.ts';
import { anyId, idOf } from '../input/kinds.ts';
import { operation } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { isUnopened } from '../reading/seen.ts';
import { EmailSummary, summaryOf } from '../views/emails.ts';
import { statusOf } from '../views/statuses.ts';
import { mailboxId } from './emails.ts';
import { namedMailbox } from './mailboxes.ts';

const ThreadItem = EmailSummary.pick({
  id: true,
  email_id: true,
  message_id: true,
  from: true,
  from_address: true,
  from_name: true,
  to: true,
  to_addresses: true,
  subject: true,
  direction: true,
  status: true,
  received_at: true,
  created_at: true,
  has_attachments: true,
  delivered_at: true,
  bounced_at: true,
});

export const getThread = operation({
  name: 'get_thread',
  summary: 'The messages of a thread, oldest first, without their texts',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes/:mailbox_id/threads/:thread_id',
  input: z.object({ mailbox_id: mailboxId, thread_id: anyId }),
  output: z.object({
    thread_id: z.string(),
    message_count: z.number().int(),
    participants: z.array(z.string()),
    last_activity: z.string(),
    has_unanswered_inbound: z.boolean(),
    emails: z.array(ThreadItem),
  }),
  tool: {
    description:
      'Tells who wrote what to whom in a thread, oldest first, and whether the last word is theirs. Without texts: read_email has them.',
    takes: ['thread_id'],
    hints: ['readOnly', 'idempotent'],
    tells: 'fields',
  },
  async handle({ mailbox_id, thread_id }, call) {
    const mailbox = await namedMailbox(mailbox_id, call);
    const all = await listThread(call.runtime.database.pool, mailbox.id, idOf(thread_id, 'thread'));
    if (all.length === 0) throw notFound('There is no such thread.');
    const messages = all.filter((message) => !isUnopened(message, call));
    if (messages.length === 0)
      throw new Problem(403, 'held_for_approval', 'This thread waits for a reviewer and cannot be read yet.');
    const emails = messages.map((message) => summaryOf(message));
    return {
      thread_id,
      message_count: emails.length,
      participants: [...new Set(emails.flatMap(({ from, to }) => [from, ...to]))],
      last_activity: emails
        .map(({ received_at }) => received_at)
        .toSorted()
        .at(-1)!,
      has_unanswered_inbound: isUnanswered(messages),
      emails,
    };
  },
});

/** What never left, or never will, answers nobody. */
const NO_ANSWER = new Set(['rejected', 'cancelled', 'expired', 'send_failed']);

function isUnanswered(messages: MessageFacts[]): boolean {
  const spoken = messages.filter(
    (one) => one.kind === 'mail' && (one.direction === 'inbound' || !NO_ANSWER.has(statusOf(one))),
  );
  return spoken.at(-1)?.direction === 'inbound';
}

export const threadOperations = [getThread];
