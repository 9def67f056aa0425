/** What each status that is shown means in the store. The words for a single message are in api/views/statuses.ts. */

const ONE_WAS_TAKEN = `exists (select 1 from recipients r where r.message_id = m.id and r.status = 'relayed')`;
/** Inbound mail that can be read: the index of unread mail knows the first two members of this. */
const NEW = `m.direction = 'inbound' and m.inbox_status is null and m.state = 'available'`;
/** A reviewer's reason is told under a word of its own, policy's is not: see `decide` in reviewing.ts. */
const BY_REVIEWER = `m.status_reason like 'rejected:%'`;

export const STATUS_CONDITIONS = {
  pending_scan: `m.state = 'received'`,
  pending_send_approval: `m.state = 'held' and m.direction = 'outbound'`,
  pending_inbound_approval: `m.state = 'held' and m.direction = 'inbound' and m.spam_verdict is distinct from 'quarantined'`,
  scheduled: `m.state = 'scheduled'`,
  queued: `m.state = 'queued'`,
  sending: `m.state = 'relaying'`,
  sent: `(m.state = 'relayed' or (m.state = 'failed' and ${ONE_WAS_TAKEN}))`,
  send_failed: `((m.state = 'failed' and not ${ONE_WAS_TAKEN})
    or (m.state = 'rejected' and m.direction = 'outbound' and not coalesce(${BY_REVIEWER}, false)))`,
  in_doubt: `m.state = 'in_doubt'`,
  rejected: `m.state = 'rejected' and (m.direction = 'inbound' or ${BY_REVIEWER})`,
  cancelled: `m.state = 'cancelled'`,
  expired: `m.state = 'expired'`,
  unread: `${NEW} and m.spam_verdict is distinct from 'flagged'`,
  read: `m.state = 'available' and m.inbox_status = 'read'`,
  archived: `m.state = 'available' and m.inbox_status = 'archived'`,
  deleted: `m.state = 'available' and m.inbox_status = 'deleted'`,
  spam_flagged: `${NEW} and m.spam_verdict = 'flagged'`,
  spam_quarantined: `m.state = 'held' and m.direction = 'inbound' and m.spam_verdict = 'quarantined'`,
} as const;

export type Status = keyof typeof STATUS_CONDITIONS;

const FRESH = new Set<Status>(['unread', 'spam_flagged']);
/** Mail with somebody to wake for it: the index of that is small however much mail there was. */
const LIVE = new Set<Status>([
  'pending_scan',
  'pending_send_approval',
  'pending_inbound_approval',
  'scheduled',
  'queued',
  'sending',
  'spam_quarantined',
]);

/** Any of the statuses. A condition that all share is said once in front, where the planner looks for an index. */
export function anyStatus(statuses: readonly Status[]): string {
  const any = statuses.map((status) => `(${STATUS_CONDITIONS[status]})`).join(' or ');
  if (statuses.every((status) => FRESH.has(status))) return `(${NEW} and (${any}))`;
  return statuses.every((status) => LIVE.has(status)) ? `(m.wake_at is not null and (${any}))` : `(${any})`;
}
