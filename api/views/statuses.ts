/** The words for a message's state that callers know; what they filter by is in core/store/status-filter.ts. */
import type { State } from '../../core/mail/lifecycle.ts';
import { STATUS_CONDITIONS, type Status } from '../../core/store/status-filter.ts';

const WORDS: Record<State, Status> = {
  received: 'pending_scan',
  held: 'pending_send_approval',
  scheduled: 'scheduled',
  queued: 'queued',
  relaying: 'sending',
  relayed: 'sent',
  failed: 'send_failed',
  in_doubt: 'in_doubt',
  rejected: 'rejected',
  expired: 'expired',
  cancelled: 'cancelled',
  available: 'unread',
};

export interface Fared {
  state: State;
  direction: 'inbound' | 'outbound';
  recipients: readonly { status: string }[];
  statusReason?: string | null;
  inboxStatus?: 'read' | 'archived' | 'deleted' | null;
  spamVerdict?: string | null;
}

/**
 * The status shown. A message whose recipients fared differently is `sent` as soon as one of them was taken;
 * which ones failed stands beside it (api 5.1).
 */
export function statusOf(one: Fared): Status {
  const { state, direction, recipients } = one;
  if (state === 'held' && direction === 'inbound')
    return one.spamVerdict === 'quarantined' ? 'spam_quarantined' : 'pending_inbound_approval';
  if (state === 'available')
    return one.inboxStatus ?? (one.spamVerdict === 'flagged' ? 'spam_flagged' : 'unread');
  if (state === 'failed' && recipients.some(({ status }) => status === 'relayed')) return 'sent';
  // Only a reviewer rejects; what policy refused has failed.
  if (state === 'rejected' && direction === 'outbound' && isRefused(one)) return 'send_failed';
  return WORDS[state];
}

function isRefused({ statusReason }: Fared): boolean {
  return statusReason !== undefined && statusReason?.startsWith('rejected:') !== true;
}

/** The status a word in a filter names; undefined for an unknown word. */
export function statusNamed(word: string): Status | undefined {
  if (word === 'pending_approval') return 'pending_send_approval';
  return Object.hasOwn(STATUS_CONDITIONS, word) ? (word as Status) : undefined;
}
