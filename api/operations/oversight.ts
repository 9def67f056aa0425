/** What waits for people, and their answer. */
import { z } from 'zod';
import type { State } from '../../core/mail/lifecycle.ts';
import { listPending } from '../../core/store/holds.ts';
import { afterCursor, cursorOf } from '../cursor.ts';
import { anyId, direction, limit, tagFilter } from '../kinds.ts';
import { type Call, operation } from '../operation.ts';
import { invalid } from '../problem.ts';
import { decideMessage } from '../reviews.ts';
import { statusOf } from '../statuses.ts';
import { Pending, pendingOf, Review, reviewOf } from '../views.ts';
import { mailboxFilter, seen } from './emails.ts';

const WAITING: Record<'decision' | 'queue', State[]> = {
  decision: ['held'],
  queue: ['held', 'received', 'scheduled', 'queued'],
};

export const listPendingEmails = operation({
  name: 'list_pending',
  summary: 'What waits for a decision; a key with send alone sees what it composed itself',
  area: 'oversight',
  access: ['oversight', 'oversight_read', 'send'],
  confined: true,
  method: 'GET',
  path: '/v1/oversight/pending',
  input: z.object({
    mailbox: z.string().optional(),
    direction: direction.optional(),
    tag: tagFilter.optional(),
    include: z.enum(['decision', 'queue']).default('decision'),
    limit: limit(100, 500),
    cursor: z.string().optional(),
  }),
  output: z.object({
    emails: z.array(Pending),
    pending: z.array(Pending),
    messages: z.array(Pending),
    cursor: z.string().nullable(),
  }),
  async handle(input, call) {
    const { scopes, principalId } = call.caller.key;
    const seesAll = scopes.some((scope) => scope !== 'send' && scope !== 'read');
    const { messages, more } = await listPending(call.runtime.database.pool, {
      mailboxId: await mailboxFilter(input.mailbox, call),
      direction: input.direction ?? null,
      composerId: seesAll ? null : principalId,
      tag: input.tag ?? null,
      states: WAITING[input.include],
      afterId: afterCursor(input.cursor),
      limit: input.limit,
    });
    const pending = messages.map(pendingOf);
    return {
      emails: pending,
      pending,
      messages: pending,
      cursor: more ? cursorOf(messages.at(-1)!.id) : null,
    };
  },
});

export const reviewEmail = operation({
  name: 'review_email',
  summary: 'One message as a reviewer sees it',
  area: 'oversight',
  access: ['oversight', 'oversight_read'],
  confined: true,
  method: 'GET',
  path: '/v1/oversight/emails/:id',
  input: z.object({ id: anyId }),
  output: Review,
  async handle({ id }, call) {
    return reviewOf(await seen(id, call));
  },
});

const Decided = z.object({
  status: z.enum(['approved', 'approved_and_sent', 'rejected']),
  id: z.string(),
  email_id: z.string(),
  email_status: z.string(),
  message: z.string(),
  approved_at: z.string().nullable(),
  approved_by: z.string().nullable(),
  content_digest: z.string(),
  postmark_message_id: z.string().nullable(),
});

const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/i, 'must be the 64 hexadecimal digits of content_digest')
  .transform((text) => text.toLowerCase())
  .optional()
  .describe('What the reviewer saw; another one now is refused');
const reason = z.string().max(2000).optional();

export const decideEmail = operation({
  name: 'decide_email',
  summary: 'Approve or reject a held message',
  area: 'oversight',
  access: 'oversight',
  confined: true,
  method: 'POST',
  path: '/v1/oversight/decide',
  input: z.object({
    email_id: anyId.optional(),
    message_id: anyId.optional().describe('The same as email_id'),
    action: z.enum(['approve', 'reject']),
    reason,
    content_digest: digest,
  }),
  strict: true,
  output: Decided,
  handle({ email_id, message_id, action, ...rest }, call) {
    const id = email_id ?? message_id;
    if (id === undefined) throw invalid(400, 'missing_field', [{ field: 'email_id', message: 'is missing' }]);
    return answer(id, action, rest, call);
  },
});

const shorthand = (action: 'approve' | 'reject') =>
  operation({
    name: `${action}_email`,
    summary: `The same as decide with the action ${action}`,
    area: 'oversight',
    access: 'oversight',
    confined: true,
    method: 'POST',
    path: `/v1/oversight/emails/:id/${action}`,
    input: z.object({ id: anyId, reason, content_digest: digest }),
    strict: true,
    output: Decided,
    handle: ({ id, ...rest }, call) => answer(id, action, rest, call),
  });

async function answer(
  id: string,
  action: 'approve' | 'reject',
  { reason, content_digest }: { reason?: string | undefined; content_digest?: string | undefined },
  call: Call,
): Promise<z.input<typeof Decided>> {
  const message = await seen(id, call);
  const after = await decideMessage(
    message,
    { action, reason: reason ?? null, digest: content_digest ?? null },
    call,
  );
  const approval = after.decisions.find(({ decision }) => decision === 'approve');
  const sent = after.direction === 'outbound' && after.state !== 'scheduled';
  const status = action === 'reject' ? 'rejected' : sent ? 'approved_and_sent' : 'approved';
  return {
    status,
    id: after.id,
    email_id: after.id,
    email_status: statusOf(after),
    message: {
      rejected: 'Rejected: it is never sent.',
      approved_and_sent: 'Approved, and on its way.',
      approved: 'Approved.',
    }[status],
    approved_at: approval === undefined ? null : new Date(approval.at).toISOString(),
    approved_by: approval?.by ?? null,
    content_digest: after.digest,
    postmark_message_id: after.direction === 'outbound' ? after.internetMessageId : null,
  };
}

export const oversightOperations = [
  listPendingEmails,
  reviewEmail,
  decideEmail,
  shorthand('approve'),
  shorthand('reject'),
];
