/**
 * The life of a message: every state it can be in and every step between them.
 *
 *  received ──release──▶ queued ──begin──▶ relaying ──relay──▶ relayed
 *    │ │ │ │              ▲ ▲ │              │ │ │
 *    │ │ │ └─schedule──▶ scheduled           │ │ └──fail───▶ failed       (DSN owed)
 *    │ │ │                │ ▲ │              │ └────defer──▶ queued       (next_attempt_at)
 *    │ │ │   ┌────hold────┘ │ hold           └──────lose───▶ in_doubt     (crash after the claim)
 *    │ │ │   ▼   ┌─postpone─┘ │
 *    │ │ └─▶ held ◀───────────┘            in_doubt ──retry──▶ queued
 *    │ │      │ ├──approve──▶ queued                ├─settle──▶ relayed
 *    │ │      │ ├──admit────▶ available             └─fail────▶ failed
 *    │ │      │ ├──reject───▶ rejected
 *    │ │      │ └──expire───▶ expired     received | held | scheduled | queued ──cancel──▶ cancelled
 *    │ └─refuse──▶ rejected
 *    └─deliver──▶ available               (inbound; gated_all holds it first, then `admit`)
 *                  └─quarantine─▶ held    (reported as spam; `admit` takes it back)
 *
 * Our 250 after DATA is a promise (RFC 5321 §6.1): a message that ends anywhere but `relayed` or
 * `available` owes its sender an answer. `queued ──hold──▶ held` is the gate closing late: the mailbox
 * grew stricter, or the row was moved to `queued` without the approval it needs. `queued ──fail──▶ failed`
 * is a message whose time ran out between two attempts. `scheduled ──revise──▶ received` is one whose content
 * was changed while it waited for its hour: it is judged anew.
 */
const STEPS = {
  received: {
    release: 'queued',
    hold: 'held',
    schedule: 'scheduled',
    refuse: 'rejected',
    deliver: 'available',
    cancel: 'cancelled',
  },
  held: {
    approve: 'queued',
    postpone: 'scheduled',
    admit: 'available',
    reject: 'rejected',
    expire: 'expired',
    cancel: 'cancelled',
  },
  scheduled: { release: 'queued', hold: 'held', revise: 'received', cancel: 'cancelled' },
  queued: { begin: 'relaying', hold: 'held', fail: 'failed', cancel: 'cancelled' },
  relaying: { relay: 'relayed', defer: 'queued', fail: 'failed', lose: 'in_doubt' },
  in_doubt: { retry: 'queued', settle: 'relayed', fail: 'failed' },
  relayed: {},
  failed: {},
  rejected: {},
  expired: {},
  cancelled: {},
  available: { quarantine: 'held' },
} as const;

export type State = keyof typeof STEPS;
export type Step = { [S in State]: keyof (typeof STEPS)[S] }[State];

export const STATES = Object.keys(STEPS) as State[];

/** The state that `step` leads to. Throws when a message in `state` cannot take it. */
export function after(state: State, step: Step): State {
  const next = stepsFrom(state)[step];
  if (next === undefined) throw new Error(`cannot ${step} a message that is ${state}`);
  return next;
}

/** Every step a message in `state` may take, with the state it leads to. */
export function stepsFrom(state: State): Partial<Record<Step, State>> {
  return STEPS[state];
}

/** States from which `step` may be taken: what an SQL guard for that step has to name. */
export function statesBefore(step: Step): State[] {
  return STATES.filter((state) => stepsFrom(state)[step] !== undefined);
}

/**
 * True when nothing further happens to the message by itself (its DSN may still be owed). Mail that has arrived
 * stays where it is, unless somebody says that it is spam.
 */
export function isFinal(state: State): boolean {
  return Object.keys(STEPS[state]).every((step) => step === 'quarantine');
}

/** How one recipient of an outbound message fares (the message's state is derived from all of them). */
export const RECIPIENT_STATUSES = ['pending', 'deferred', 'relayed', 'failed', 'in_doubt'] as const;
export type RecipientStatus = (typeof RECIPIENT_STATUSES)[number];

/**
 * The step that ends an attempt, from the status each recipient now has. One recipient that still waits
 * keeps the message queued; one that failed makes the whole message `failed`, and its recipients tell
 * which of them got it.
 */
export function stepAfterAttempt(statuses: RecipientStatus[]): 'relay' | 'defer' | 'fail' | 'lose' {
  if (statuses.includes('in_doubt')) return 'lose';
  if (statuses.includes('pending') || statuses.includes('deferred')) return 'defer';
  return statuses.includes('failed') ? 'fail' : 'relay';
}
