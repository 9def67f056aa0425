/** Webhooks: who is told of events. Made with a person's code, for they carry mail out of the house. */
import { z } from 'zod';
import { isEventName, NEVER_EMITTED } from '../../core/mail/webhook-events.ts';
import {
  createWebhook,
  deleteWebhook,
  listWebhooks,
  readWebhookSecret,
  updateWebhook,
  type Webhook,
} from '../../core/store/webhooks.ts';
import { quoted } from '../access/code-mail.ts';
import { paging, placeByIds } from '../input/cursor.ts';
import { anyId, idOf, limit, truth } from '../input/kinds.ts';
import { requireSafeTarget, webhookUrl } from '../input/webhook-target.ts';
import { operation } from '../operation.ts';
import { notFound } from '../problem.ts';
import { iso } from '../views/emails.ts';
import { namedMailbox } from './mailboxes.ts';

const listed = {
  id: z.string(),
  url: z.string(),
  events: z.array(z.string()),
  mailbox_id: z.string().nullable(),
  created_at: z.string(),
  disabled_at: z.string().nullable(),
};
const Listed = z.object(listed);
const WithSecret = z.object({
  ...listed,
  signing_secret: z.string(),
  ignored_events: z.array(z.string()).optional(),
});

export function listedView(one: Webhook): z.input<typeof Listed> {
  return {
    id: one.id,
    url: one.url,
    events: one.events,
    mailbox_id: one.mailboxId,
    created_at: one.createdAt.toISOString(),
    disabled_at: iso(one.disabledAt),
  };
}

function secretView(one: Webhook & { secret: string }): z.input<typeof WithSecret> {
  const ignored = one.events.filter((name) => name === NEVER_EMITTED);
  return {
    ...listedView(one),
    signing_secret: one.secret,
    ...(ignored.length > 0 && { ignored_events: ignored }),
  };
}

const eventNames = z
  .array(z.string().max(64).refine(isEventName, { error: 'there is no such event' }))
  .min(1)
  .max(64)
  .transform((names) => [...new Set(names)])
  .refine((names) => names.some((name) => name !== NEVER_EMITTED), {
    error: 'none of these events is ever emitted',
  })
  .describe('Names such as message.received, oversight.pending, or * for every event');

const secret = z
  .string()
  .regex(/^[!-~]{16,128}$/, 'must be 16 to 128 printable characters without blanks')
  .describe('What deliveries are signed with; made here when left out');

function known<T>(found: T | undefined): T {
  if (found === undefined) throw notFound('There is no such webhook.');
  return found;
}

const makeWebhook = operation({
  name: 'create_webhook',
  summary: 'Be told of events at an address; a person confirms it',
  area: 'webhooks',
  access: 'admin',
  method: 'POST',
  path: '/v1/webhooks',
  status: 201,
  input: z.object({
    url: webhookUrl,
    events: eventNames,
    mailbox_id: z.string().min(1).max(320).nullable().optional().describe('Only events of this mailbox'),
    secret: secret.optional(),
    approval_code: z.string().max(16).optional(),
  }),
  output: WithSecret,
  tool: {
    description:
      'Subscribe an https address to events, such as mail that arrived or a message that waits for a decision. The first call mails a code to the operator; repeat it with that approval_code. The answer holds the signing secret.',
    takes: ['url', 'events', 'mailbox_id', 'approval_code'],
    hints: [],
  },
  // Looked at before a person is asked: nobody is to confirm what is refused afterwards.
  async guard({ url, mailbox_id }, call) {
    await requireSafeTarget(url, 'url', call);
    if (mailbox_id != null) await namedMailbox(mailbox_id, call);
    return 'medium';
  },
  async asks({ url, events, mailbox_id }, call) {
    const where =
      mailbox_id == null
        ? 'all mailboxes'
        : `the mailbox ${quoted((await namedMailbox(mailbox_id, call)).address)}`;
    return `tell ${quoted(url)} of these events in ${where}: ${events.join(', ')}`;
  },
  async handle({ url, events, mailbox_id, secret }, call) {
    const mailbox = mailbox_id == null ? undefined : await namedMailbox(mailbox_id, call);
    const webhook = { url, events, secret, mailboxId: mailbox?.id ?? null };
    return secretView(await createWebhook(call.runtime.database.pool, webhook, call.caller.actor));
  },
});

const listAllWebhooks = operation({
  name: 'list_webhooks',
  summary: 'Who is told of events, without secrets',
  area: 'webhooks',
  access: 'admin',
  method: 'GET',
  path: '/v1/webhooks',
  input: z.object({}),
  output: z.object({ subscriptions: z.array(Listed), webhooks: z.array(Listed) }),
  tool: {
    description: 'List the webhook subscriptions: their addresses and the events they are told of.',
    takes: [],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(_, { runtime }) {
    const all = (await listWebhooks(runtime.database.pool)).map(listedView);
    return { subscriptions: all, webhooks: all };
  },
});

const showWebhook = operation({
  name: 'get_webhook',
  summary: 'One subscription with its signing secret; the reading is audited',
  area: 'webhooks',
  access: 'admin',
  method: 'GET',
  path: '/v1/webhooks/:webhook_id',
  input: z.object({ webhook_id: anyId }),
  output: WithSecret,
  async handle({ webhook_id }, { runtime, caller }) {
    const id = idOf(webhook_id, 'webhook');
    return secretView(known(await readWebhookSecret(runtime.database.pool, id, caller.actor)));
  },
});

const changeWebhook = operation({
  name: 'update_webhook',
  summary: 'Switch a subscription on or off, or give it a new secret',
  area: 'webhooks',
  access: 'admin',
  method: 'PATCH',
  path: '/v1/webhooks/:webhook_id',
  input: z.object({
    webhook_id: anyId,
    enabled: truth.optional(),
    rotate_secret: truth.optional().describe('The old secret signs too for 24 hours'),
  }),
  output: WithSecret,
  async handle({ webhook_id, enabled, rotate_secret }, { runtime, caller }) {
    const change = { enabled, rotate: rotate_secret === true };
    const id = idOf(webhook_id, 'webhook');
    return secretView(known(await updateWebhook(runtime.database.pool, id, change, caller.actor)));
  },
});

const removeWebhook = operation({
  name: 'delete_webhook',
  summary: 'End a subscription',
  area: 'webhooks',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/webhooks/:webhook_id',
  input: z.object({ webhook_id: anyId }),
  output: z.object({ status: z.literal('deleted') }),
  tool: {
    description: 'End a webhook subscription: nothing more is sent to its address.',
    takes: ['webhook_id'],
    hints: ['destructive', 'idempotent'],
  },
  async handle({ webhook_id }, { runtime, caller }) {
    const id = idOf(webhook_id, 'webhook');
    const gone = await runtime.database.transaction((db) => deleteWebhook(db, id, caller.actor));
    if (!gone) throw notFound('There is no such webhook.');
    return { status: 'deleted' as const };
  },
});

const Delivery = z.object({
  id: z.string(),
  event_id: z.string(),
  event_type: z.string(),
  webhook_id: z.string(),
  url: z.string(),
  status: z.enum(['pending', 'delivered', 'failed']),
  attempts: z.number(),
  response_status: z.number().nullable(),
  created_at: z.string(),
  last_attempt_at: z.string().nullable(),
  replay_of: z.string().nullable(),
});

// Events are not delivered yet, so the log is empty and nothing in it can be replayed.
const listDeliveries = operation({
  name: 'list_webhook_deliveries',
  summary: 'What was sent to webhooks, and how they answered',
  area: 'webhooks',
  access: 'admin',
  method: 'GET',
  path: '/v1/webhook-deliveries',
  input: z.object({
    limit: limit(50, 100),
    ...paging,
    webhook_id: anyId.optional(),
    status: z.enum(['pending', 'delivered', 'failed']).optional(),
  }),
  output: z.object({ deliveries: z.array(Delivery), cursor: z.string().nullable() }),
  async handle(input) {
    placeByIds(input);
    return { deliveries: [], cursor: null };
  },
});

const replayDelivery = operation({
  name: 'replay_webhook_delivery',
  summary: 'Send the same event once more',
  area: 'webhooks',
  access: 'admin',
  method: 'POST',
  path: '/v1/webhook-deliveries/:delivery_id/replay',
  status: 202,
  input: z.object({ delivery_id: anyId }),
  output: z.object({ id: z.string(), status: z.literal('pending'), replay_of: z.string() }),
  async handle() {
    throw notFound('There is no such delivery.');
  },
});

export const webhookOperations = [
  makeWebhook,
  listAllWebhooks,
  showWebhook,
  changeWebhook,
  removeWebhook,
  listDeliveries,
  replayDelivery,
];
