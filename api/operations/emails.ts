/** Messages: listed, shown, explained, cancelled, hurried, settled. */
import { z } from 'zod';
import type { State } from '../../core/mail/lifecycle.ts';
import { findMailbox } from '../../core/store/accounts.ts';
import { listMessages } from '../../core/store/listing.ts';
import { type MessageFacts, type MessageRecord, readMessage, readRaw } from '../../core/store/messages.ts';
import { hurry, listPausedRoutes } from '../../core/store/overview.ts';
import { afterCursor, cursorOf } from '../cursor.ts';
import { explain } from '../explain.ts';
import { anyId, direction, idOf, limit, moment, several, tagFilter } from '../kinds.ts';
import { type Call, operation, Raw } from '../operation.ts';
import { invalid, notFound, Problem } from '../problem.ts';
import { cancelMessage, settleMessage } from '../reviews.ts';
import { filterOf, statusOf } from '../statuses.ts';
import { EmailResponse, EmailSummary, emailOf, summaryOf } from '../views.ts';

const Id = z.object({ id: anyId });

/** The message a call names, if the caller may see it. */
export async function seen(id: string, { runtime, caller }: Call): Promise<MessageRecord> {
  const found = await readMessage(runtime.database.pool, idOf(id, 'message'), caller.onlyMailbox);
  if (found === undefined) throw notFound('There is no such message.');
  return found;
}

/** The id of the mailbox a filter names, kept within what the caller may see. */
export async function mailboxFilter(
  named: string | undefined,
  { runtime, caller }: Call,
): Promise<string | null> {
  if (named === undefined) return caller.onlyMailbox;
  const found = await findMailbox(runtime.database.pool, named);
  if (found === undefined || (caller.onlyMailbox !== null && caller.onlyMailbox !== found.id))
    throw notFound('There is no such mailbox.');
  return found.id;
}

function statesOf(words: string[] | undefined): {
  states: State[] | null;
  direction: 'inbound' | 'outbound' | null;
} {
  if (words === undefined || words.length === 0) return { states: null, direction: null };
  const filters = words.map((word) => {
    const found = filterOf(word);
    if (found === undefined)
      throw invalid(400, 'invalid_field', [
        { field: 'status', message: `there is no status ${word.slice(0, 40)}` },
      ]);
    return found;
  });
  const directions = new Set(filters.map((filter) => filter.direction));
  return {
    states: filters.flatMap(({ states }) => states),
    direction: directions.size === 1 ? filters[0]!.direction : null,
  };
}

export const listEmails = operation({
  name: 'list_emails',
  summary: 'Messages, newest first; with since_id oldest first from there on',
  area: 'emails',
  access: 'read',
  confined: true,
  method: 'GET',
  path: '/v1/emails',
  input: z.object({
    mailbox: z.string().optional().describe('Id or address of the mailbox'),
    status: several.optional(),
    state: several.optional().describe('The same as status'),
    direction: direction.optional(),
    kind: z.enum(['mail', 'dsn', 'copy', 'notice']).optional().describe('mail, or what Postern wrote itself'),
    since_id: z.string().optional(),
    sender: z.string().max(320).optional(),
    subject_contains: z.string().max(200).optional(),
    tag: tagFilter.optional(),
    date_after: moment.optional(),
    date_before: moment.optional(),
    limit: limit(20, 100),
    cursor: z.string().optional(),
  }),
  output: z.object({ emails: z.array(EmailSummary), cursor: z.string().nullable() }),
  async handle(input, call) {
    const wanted = statesOf(input.status ?? input.state);
    const { messages, more } = await listMessages(call.runtime.database.pool, {
      mailboxId: await mailboxFilter(input.mailbox, call),
      states: wanted.states,
      direction: input.direction ?? wanted.direction,
      kind: input.kind ?? null,
      sinceId: input.since_id === undefined ? null : idOf(input.since_id, 'message'),
      afterId: afterCursor(input.cursor),
      sender: input.sender ?? null,
      subjectContains: input.subject_contains ?? null,
      tag: input.tag ?? null,
      since: input.date_after ?? null,
      until: input.date_before ?? null,
      withoutHeldInbound: wanted.states === null,
      limit: input.limit,
    });
    const view = oversees(call) ? summaryOf : (one: MessageFacts) => unopened(one) ?? summaryOf(one);
    return { emails: messages.map(view), cursor: more ? cursorOf(messages.at(-1)!.id) : null };
  },
});

export const readEmail = operation({
  name: 'read_email',
  summary: 'One message with its recipients, reasons and decisions',
  area: 'emails',
  access: ['read', 'oversight'],
  confined: true,
  method: 'GET',
  path: '/v1/emails/:id',
  input: Id,
  output: EmailResponse,
  async handle({ id }, call) {
    const message = await seen(id, call);
    refuseHeldInbound(message, call);
    return emailOf(message);
  },
});

export const rawEmail = operation({
  name: 'raw_email',
  summary: 'The stored bytes: as accepted and as they are sent',
  area: 'emails',
  access: ['read', 'oversight'],
  confined: true,
  method: 'GET',
  path: '/v1/emails/:id/raw',
  input: Id,
  output: 'raw',
  async handle({ id }, call) {
    const message = await seen(id, call);
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

function oversees({ caller }: Call): boolean {
  return caller.key.scopes.some((scope) => scope === 'oversight' || scope === 'admin');
}

/** In `gated_all` an agent learns of inbound mail when a person has let it in. */
function refuseHeldInbound(message: MessageRecord, call: Call): void {
  if (message.state === 'held' && message.direction === 'inbound' && !oversees(call))
    throw new Problem(403, 'held_for_approval', 'This message waits for a reviewer and cannot be read yet.');
}

/** What such an agent sees of it in a list: that something waits. */
function unopened(message: MessageFacts): z.input<typeof EmailSummary> | undefined {
  if (message.state !== 'held' || message.direction !== 'inbound') return undefined;
  const hidden = { from: '', from_address: '', from_name: null, subject: '(waits for a reviewer)', tags: {} };
  return { ...summaryOf(message), ...hidden };
}

export const explainEmail = operation({
  name: 'explain_email',
  summary: 'Why a message is where it is, and what happens next',
  area: 'emails',
  access: ['read', 'oversight', 'oversight_read'],
  confined: true,
  method: 'GET',
  path: '/v1/emails/:id/explain',
  input: Id,
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
  async handle({ id }, call) {
    const message = await seen(id, call);
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

export const cancelEmail = operation({
  name: 'cancel_message',
  summary: 'Withdraw a message that has not begun to leave; 200 means it never will',
  area: 'emails',
  access: 'send',
  confined: true,
  method: 'POST',
  path: '/v1/emails/:id/cancel',
  input: Id,
  output: z.object({
    id: z.string(),
    email_id: z.string(),
    message_id: z.string(),
    status: z.literal('cancelled'),
  }),
  async handle({ id }, call) {
    const message = await seen(id, call);
    await cancelMessage(message, call);
    return { id: message.id, email_id: message.id, message_id: message.id, status: 'cancelled' as const };
  },
});

export const retryEmail = operation({
  name: 'retry_email',
  summary: 'Try a message now that waits for its next attempt; a message in doubt is sent again',
  area: 'emails',
  access: 'admin',
  confined: true,
  method: 'POST',
  path: '/v1/emails/:id/retry',
  input: Id.extend({ reason: z.string().max(2000).optional() }),
  output: z.object({ id: z.string(), status: z.string() }),
  async handle({ id, reason }, call) {
    const message = await seen(id, call);
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
  area: 'emails',
  access: 'admin',
  confined: true,
  method: 'POST',
  path: '/v1/emails/:id/settle',
  input: Id.extend({ outcome: z.enum(['retry', 'sent', 'failed']), reason: z.string().max(2000).optional() }),
  output: z.object({ id: z.string(), status: z.string() }),
  async handle({ id, outcome, reason }, call) {
    const message = await seen(id, call);
    if (message.state !== 'in_doubt') throw wrongStatus(message, 'Only a message in doubt can be settled.');
    return settleMessage(message, outcome, reason ?? null, call);
  },
});

function wrongStatus(message: MessageRecord, text: string): Problem {
  return new Problem(409, 'wrong_status', text, { current_status: statusOf(message) });
}

export const emailOperations = [
  listEmails,
  readEmail,
  rawEmail,
  explainEmail,
  cancelEmail,
  retryEmail,
  settleEmail,
];
