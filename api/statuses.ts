/** The words for a message's state that callers know, and the way back from a word to what it filters. */
import type { State } from '../core/mail/lifecycle.ts';

type Direction = 'inbound' | 'outbound';

const WORDS: Record<State, string> = {
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
  direction: Direction;
  recipients: readonly { status: string }[];
}

/**
 * The status shown. A message whose recipients fared differently is `sent` as soon as one of them was taken;
 * which ones failed stands beside it (api 5.1).
 */
export function statusOf({ state, direction, recipients }: Fared): string {
  if (state === 'held' && direction === 'inbound') return 'pending_inbound_approval';
  if (state === 'failed' && recipients.some(({ status }) => status === 'relayed')) return 'sent';
  return WORDS[state];
}

export interface StatusFilter {
  states: State[];
  direction: Direction | null;
}

/** What a status word selects; our own state names are understood too. Undefined for an unknown word. */
export function filterOf(word: string): StatusFilter | undefined {
  if (word === 'pending_inbound_approval') return { states: ['held'], direction: 'inbound' };
  if (word === 'pending_approval' || word === 'pending_send_approval')
    return { states: ['held'], direction: 'outbound' };
  if (Object.hasOwn(WORDS, word)) return { states: [word as State], direction: null };
  const states = (Object.keys(WORDS) as State[]).filter((state) => WORDS[state] === word);
  return states.length > 0 ? { states, direction: null } : undefined;
}
