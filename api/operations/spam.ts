/** Mail that is, or is said to be, spam. */
import { z } from 'zod';
import { clearSpam, reportSpam } from '../../core/store/inbox.ts';
import { listSpamMail } from '../../core/store/listing.ts';
import { readMessage } from '../../core/store/messages.ts';
import { cursorOf, paging, placeOf } from '../input/cursor.ts';
import { anyId, limit, several } from '../input/kinds.ts';
import { type Call, operation } from '../operation.ts';
import { invalid } from '../problem.ts';
import { mailboxFilter, refuseHeldInbound, seen } from '../reading/seen.ts';
import { EmailSummary } from '../views/emails.ts';
import { statusOf } from '../views/statuses.ts';
import { listed, wrongStatus } from './emails.ts';

const SPAM = ['spam_flagged', 'spam_quarantined'] as const;
type SpamStatus = (typeof SPAM)[number];

export const listSpam = operation({
  name: 'list_spam',
  summary: 'Flagged and quarantined mail of all mailboxes, newest first',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/emails',
  input: z.object({
    status: several.optional().describe('spam_flagged, spam_quarantined, or both by comma (both)'),
    limit: limit(20, 100),
    ...paging,
  }),
  output: z.object({ emails: z.array(EmailSummary), cursor: z.string().nullable() }),
  tool: {
    description:
      'Lists mail of all mailboxes that was flagged as doubtful or kept apart as spam, newest first.',
    takes: ['limit'],
    hints: ['readOnly', 'idempotent'],
    tells: 'fields',
  },
  async handle(input, call) {
    const { messages, more } = await listSpamMail(call.runtime.database.pool, {
      mailboxId: await mailboxFilter(undefined, call),
      statuses: spamStatuses(input.status),
      begin: placeOf(input),
      limit: input.limit,
    });
    return {
      emails: messages.map((message) => listed(message, call)),
      cursor: more ? cursorOf(messages.at(-1)!.place) : null,
    };
  },
});

function spamStatuses(words: string[] | undefined): readonly SpamStatus[] {
  if (words === undefined || words.length === 0) return SPAM;
  if (words.every((word): word is SpamStatus => (SPAM as readonly string[]).includes(word))) return words;
  throw invalid(400, 'invalid_field', [
    {
      field: 'status',
      message: `must be ${SPAM.join(' or ')}; the mail of a mailbox is listed by its own path`,
    },
  ]);
}

const Labelled = z.object({
  id: z.string(),
  status: z.string(),
  user_label: z.enum(['spam', 'not_spam']),
});

export const reportSpamEmail = operation({
  name: 'report_spam',
  summary: 'Call inbound mail spam: it is kept apart until somebody clears it',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/emails/:email_id/report-spam',
  input: z.object({ email_id: anyId }),
  output: Labelled,
  handle: ({ email_id }, call) => label(email_id, 'report', call),
});

export const notSpamEmail = operation({
  name: 'not_spam',
  summary: 'Say that mail is no spam: quarantined mail is let in',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/emails/:email_id/not-spam',
  input: z.object({ email_id: anyId }),
  output: Labelled,
  handle: ({ email_id }, call) => label(email_id, 'clear', call),
});

export const manageSpamStatus = operation({
  name: 'manage_spam_status',
  summary: 'Report mail as spam, or clear it',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/manage_spam_status',
  input: z.object({ action: z.enum(['report', 'clear']), email_id: anyId }),
  output: Labelled,
  tool: {
    description:
      'Reports a message as spam, which keeps it apart, or clears it, which lets it in again where nobody has to approve that.',
    takes: ['action', 'email_id'],
    hints: ['destructive'],
  },
  handle: ({ action, email_id }, call) => label(email_id, action, call),
});

async function label(id: string, action: 'report' | 'clear', call: Call): Promise<z.input<typeof Labelled>> {
  const message = await seen(id, call);
  const { runtime, caller } = call;
  if (message.spamVerdict !== 'quarantined') refuseHeldInbound(message, call);
  await (action === 'report' ? reportSpam : clearSpam)(runtime.database, message.id, caller.actor);
  const after = (await readMessage(runtime.database.pool, message.id, caller.onlyMailbox)) ?? message;
  const userLabel = action === 'report' ? 'spam' : 'not_spam';
  if (after.userLabel !== userLabel)
    throw wrongStatus(after, 'Only inbound mail can be called spam or cleared of it.');
  return { id: after.id, status: statusOf(after), user_label: userLabel };
}

export const spamOperations = [listSpam, reportSpamEmail, notSpamEmail, manageSpamStatus];
