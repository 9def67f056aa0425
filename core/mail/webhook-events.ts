/**
 * What a webhook can be told of. Each event has one name of ours and others under which clients know it; a
 * subscription keeps the names it was made with, because its events bear them.
 */
const MESSAGE = [
  'received',
  'sent',
  'delivered',
  'bounced',
  'complained',
  'failed',
  'cancelled',
  'scheduled',
  'in_doubt',
] as const;
const OVERSIGHT = ['pending', 'approved', 'rejected', 'edited', 'reminder', 'expired'] as const;

export type WebhookEvent = `message.${(typeof MESSAGE)[number]}` | `oversight.${(typeof OVERSIGHT)[number]}`;

/** Every name, and the event it means. */
const EVENT_OF: ReadonlyMap<string, WebhookEvent> = new Map([
  ...MESSAGE.flatMap((word): [string, WebhookEvent][] => [
    [`message.${word}`, `message.${word}`],
    [`email.${word}`, `message.${word}`],
  ]),
  ...OVERSIGHT.map((word): [string, WebhookEvent] => [`oversight.${word}`, `oversight.${word}`]),
  ...(['approved', 'rejected', 'expired'] as const).flatMap((word): [string, WebhookEvent][] => [
    [`message.${word}`, `oversight.${word}`],
    [`email.${word}`, `oversight.${word}`],
  ]),
  ['inbound', 'message.received'],
  ['delivery', 'message.delivered'],
  ['bounce', 'message.bounced'],
  ['complaint', 'message.complained'],
]);

export const EVERY_EVENT = '*';

/** Taken, because clients ask for it, and never emitted: Postern does not track who opens a message. */
export const NEVER_EMITTED = 'open';

/** Whether a subscription may name it. */
export function isEventName(name: string): boolean {
  return name === EVERY_EVENT || name === NEVER_EMITTED || EVENT_OF.has(name);
}

/** The name under which a subscription hears of an event: the first that means it; undefined when none does. */
export function subscribedName(subscribed: readonly string[], event: WebhookEvent): string | undefined {
  const name = subscribed.find((one) => one === EVERY_EVENT || EVENT_OF.get(one) === event);
  return name === EVERY_EVENT ? event : name;
}

/** What the two addresses of a mailbox subscribe to. */
export const MAILBOX_EVENTS = {
  webhook_url: MESSAGE.map((word) => `email.${word}`),
  oversight_webhook_url: OVERSIGHT.map((word) => `oversight.${word}`),
} as const;
