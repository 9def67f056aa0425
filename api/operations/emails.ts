/** The mail of a mailbox: listed, read, put away, explained. */
import { z } from 'zod';
import { markRead, setInboxStatus } from '../../core/store/inbox.ts';
import { listMailbox } from '../../core/store/listing.ts';
import { type MessageFacts, type MessageRecord, readRaw } from '../../core/store/messages.ts';
import { listPausedRoutes } from '../../core/store/overview.ts';
import type { Status } from '../../core/store/status-filter.ts';
import { cursorOf, paging, placeOf } from '../input/cursor.ts';
import { anyId, direction, idOf, limit, moment, several, tagFilter, truth } from '../input/kinds.ts';
import { type Call, operation, Raw } from '../operation.ts';
import { invalid, notFound, Problem } from '../problem.ts';
import { markdownOf, withStructure } from '../reading/bodies.ts';
import { isUnopened, oversees, refuseHeldInbound, seen, seenIn } from '../reading/seen.ts';
import { EmailResponse, EmailSummary, emailOf, summaryOf } from '../views/emails.ts';
import { explain } from '../views/explain.ts';
import { statusNamed, statusOf } from '../views/statuses.ts';
import { namedMailbox } from './mailboxes.ts';

export const mailboxId = z.string().min(1).max(320).describe('Id or address of the mailbox');
const InMailbox = z.object({ mailbox_id: mailboxId, email_id: anyId });

/** The statuses that words of a filter name; null for none given. */
export function statusesOf(words: string[] | undefined): Status[] | null {
  if (words === undefined || words.length === 0) return null;
  return words.map((word) => {
    const found = statusNamed(word);
    if (found !== undefined) return found;
    const message = `there is no status ${word.slice(0, 40)}`;
    throw invalid(400, 'invalid_field', [{ field: 'status', message }]);
  });
}

const WAITS: readonly string[] = ['received', 'held'];

/** What a list shows of a message: of one that no reviewer has let in, to an agent, only that there is one. */
export function listed(message: MessageFacts, call: Call): z.input<typeof EmailSummary> {
  const summary = summaryOf(message);
  if (!isUnopened(message, call)) return summary;
  return {
    ...summary,
    from: '',
    from_address: '',
    from_name: null,
    subject: WAITS.includes(message.state) ? '(waits for a reviewer)' : '(was not let in)',
    has_attachments: false,
    spam_score: null,
    spam_verdict: null,
    tags: {},
    size: 0,
  };
}

export const checkInbox = operation({
  name: 'check_inbox',
  summary: 'Mail of a mailbox, newest first; with since_id oldest first from there on',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes/:mailbox_id/emails',
  input: z.object({
    mailbox_id: mailboxId,
    status: several.optional().describe('One status, or several by comma'),
    limit: limit(20, 100),
    ...paging,
    sender: z.string().max(320).optional().describe("Part of the sender's address"),
    subject_contains: z.string().max(200).optional(),
    date_after: moment.optional(),
    date_before: moment.optional(),
    direction: direction.optional(),
    has_attachments: truth.optional(),
    since_id: z.string().max(64).optional().describe('What came after this message, oldest first'),
    tag: tagFilter.optional(),
  }),
  output: z.object({ emails: z.array(EmailSummary), cursor: z.string().nullable() }),
  tool: {
    description:
      'Lists the mail of a mailbox, newest first, without the text. With since_id: what came after that message, oldest first, so that the last id is the next since_id. Filter by status, sender, subject, date, direction or attachments.',
    takes: [
      'status',
      'sender',
      'subject_contains',
      'date_after',
      'date_before',
      'direction',
      'has_attachments',
      'since_id',
      'limit',
      'cursor',
    ],
    hints: ['readOnly', 'idempotent'],
    tells: 'fields',
  },
  async handle(input, call) {
    const mailbox = await namedMailbox(input.mailbox_id, call);
    const hints = hintsAt(input, call);
    const statuses = withoutHints(statusesOf(input.status), hints);
    if (statuses?.length === 0) return { emails: [], cursor: null };
    const { messages, more } = await listMailbox(call.runtime.database.pool, {
      mailboxId: mailbox.id,
      statuses,
      letIn: hints,
      direction: input.direction ?? null,
      sinceId: input.since_id === undefined ? null : idOf(input.since_id, 'message'),
      sender: input.sender ?? null,
      subjectContains: input.subject_contains ?? null,
      tag: input.tag ?? null,
      since: input.date_after ?? null,
      until: input.date_before ?? null,
      hasAttachments: input.has_attachments ?? null,
      begin: placeOf(input),
      limit: input.limit,
    });
    return {
      emails: messages.map((message) => listed(message, call)),
      cursor: more ? cursorOf(messages.at(-1)!.place) : null,
    };
  },
});

/** Whether a filter could tell what is in mail, one by one, to somebody who may not see mail that nobody let in. */
function hintsAt(
  {
    sender,
    subject_contains,
    has_attachments,
    tag,
  }: { sender?: unknown; subject_contains?: unknown; has_attachments?: unknown; tag?: unknown },
  call: Call,
): boolean {
  const asks = [sender, subject_contains, has_attachments, tag].some((given) => given !== undefined);
  return asks && !oversees(call);
}

/** Whoever may not see what waits may not find it by its words either. */
function withoutHints(statuses: Status[] | null, hints: boolean): Status[] | null {
  if (statuses === null || !hints) return statuses;
  return statuses.filter((status) => status !== 'pending_inbound_approval' && status !== 'spam_quarantined');
}

export const readEmail = operation({
  name: 'read_email',
  summary: 'One message in full; unread mail is read then',
  area: 'emails',
  access: ['read', 'oversight'],
  confined: true,
  method: 'GET',
  path: '/v1/mailboxes/:mailbox_id/emails/:email_id',
  input: InMailbox,
  output: EmailResponse,
  tool: {
    description:
      'Reads one message with its text, files, recipients and status. Unread mail is marked as read.',
    takes: ['email_id'],
    hints: ['idempotent'],
    tells: 'message',
  },
  async handle({ mailbox_id, email_id }, call) {
    const message = await seenIn(mailbox_id, email_id, call);
    refuseHeldInbound(message, call);
    const { runtime } = call;
    const full = await withStructure(await read(message, call), runtime.database.pool);
    const text = await markdownOf(full, runtime);
    return {
      ...emailOf(full),
      markdown: text,
      body: text,
      ...(runtime.config.compat.text_body && { text_body: text }),
    };
  },
});

async function read(message: MessageRecord, { runtime, caller }: Call): Promise<MessageRecord> {
  if (message.state !== 'available' || message.inboxStatus !== null) return message;
  await markRead(runtime.database.pool, message.id, caller.actor);
  return { ...message, inboxStatus: 'read' };
}

export const updateEmail = operation({
  name: 'update_email',
  summary: 'Mark mail that has arrived as read or unread, or put it away',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'PATCH',
  path: '/v1/mailboxes/:mailbox_id/emails/:email_id',
  input: InMailbox.extend({ status: z.enum(['read', 'unread', 'archived', 'deleted']) }),
  output: z.object({ id: z.string(), status: z.string() }),
  async handle({ mailbox_id, email_id, status }, call) {
    const message = await seenIn(mailbox_id, email_id, call);
    refuseHeldInbound(message, call);
    const { runtime, caller } = call;
    if (!(await setInboxStatus(runtime.database.pool, message.id, status, caller.actor)))
      throw wrongStatus(message, 'Only inbound mail that has arrived can be marked so.');
    return {
      id: message.id,
      status: statusOf({ ...message, inboxStatus: status === 'unread' ? null : status }),
    };
  },
});

export const rawEmail = operation({
  name: 'raw_email',
  summary: 'The stored bytes: as accepted and as they are sent',
  area: 'emails',
  access: ['read', 'oversight'],
  confined: true,
  method: 'GET',
  path: '/v1/emails/:email_id/raw',
  input: z.object({ email_id: anyId }),
  output: 'raw',
  media: ['message/rfc822'],
  async handle({ email_id }, call) {
    const message = await seen(email_id, call);
    refuseHeldInbound(message, call);
    const bytes = await readRaw(call.runtime.database.pool, message.id, call.caller.onlyMailbox);
    if (bytes === undefined) throw notFound('The bytes of this message have been removed.');
    return rawMail(bytes, message.id);
  },
});

/** Mail as a download: no browser may take a stranger's bytes for a page of ours. */
export function rawMail(bytes: Buffer, id: string): Raw {
  return new Raw(bytes, {
    'content-type': 'message/rfc822',
    'content-disposition': `attachment; filename="${id}.eml"`,
    'x-content-type-options': 'nosniff',
  });
}

export const explainEmail = operation({
  name: 'explain_email',
  summary: 'Why a message is where it is, and what happens next',
  area: 'emails',
  access: ['read', 'oversight', 'oversight_read'],
  confined: true,
  method: 'GET',
  path: '/v1/emails/:email_id/explain',
  input: z.object({ email_id: anyId }),
  output: z.object({
    id: z.string(),
    status: z.string(),
    state: z.string(),
    because: z.array(z.string()),
    next: z.array(z.string()),
    attempts: z.number(),
    next_attempt_at: z.string().nullable(),
    route: z.string(),
    route_paused: z.boolean(),
  }),
  async handle({ email_id }, call) {
    const message = await seen(email_id, call);
    refuseHeldInbound(message, call);
    const { config, database } = call.runtime;
    const route = message.route ?? config.delivery.default_route;
    const paused = (await listPausedRoutes(database.pool)).find(({ name }) => name === route) ?? null;
    return {
      id: message.id,
      status: statusOf(message),
      state: message.state,
      ...explain(message, { route, paused, now: new Date() }),
      attempts: message.attempts,
      next_attempt_at: message.nextAttemptAt?.toISOString() ?? null,
      route,
      route_paused: paused !== null,
    };
  },
});

/** The 409 of a step that a message cannot take where it is. */
export function wrongStatus(message: MessageRecord, text: string): Problem {
  return new Problem(409, 'wrong_status', text, { current_status: statusOf(message) });
}

export const emailOperations = [checkInbox, readEmail, updateEmail, rawEmail, explainEmail];
