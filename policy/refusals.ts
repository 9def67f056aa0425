/**
 * Why a step of oversight was refused, as sentences for whoever asked. Each error carries what its answer has
 * to name; `code` is the word programs go by.
 */
import type { State } from '../core/mail/lifecycle.ts';
import { plainTime } from '../core/mail/text.ts';

export type RefusalCode =
  | 'not_found'
  | 'already_decided'
  | 'content_changed'
  | 'self_approval'
  | 'expired'
  | 'account_disabled'
  | 'read_only'
  | 'wrong_status'
  | 'not_cancellable'
  | 'not_editable'
  | 'already_handed_off';

/** The base of all refusals. */
export class ReviewRefusal extends Error {
  readonly code: RefusalCode;
  constructor(code: RefusalCode, sentence: string) {
    super(sentence);
    this.name = new.target.name;
    this.code = code;
  }
}

export class NotFound extends ReviewRefusal {
  constructor() {
    super('not_found', 'There is no message with this id.');
  }
}

const DONE = { approve: 'approved', reject: 'rejected' } as const;

/** Someone was faster, or said the other thing. */
export class AlreadyDecided extends ReviewRefusal {
  readonly decision: 'approve' | 'reject';
  readonly by: string;
  readonly at: Date;
  constructor(decided: { decision: 'approve' | 'reject'; by: string; at: Date }) {
    const { decision, by, at } = decided;
    super('already_decided', `This message was already ${DONE[decision]} by ${by} at ${plainTime(at)}.`);
    this.decision = decision;
    this.by = by;
    this.at = at;
  }
}

/** What the reviewer saw is not what is stored; `digest` names what is. */
export class ContentChanged extends ReviewRefusal {
  readonly digest: string;
  constructor(digest: string) {
    super('content_changed', 'The message is no longer the one you saw. Look at it again before you decide.');
    this.digest = digest;
  }
}

export class SelfApproval extends ReviewRefusal {
  constructor() {
    super(
      'self_approval',
      'You composed this message, or share an owner with whoever did, so somebody else has to decide. You may cancel it.',
    );
  }
}

/** The installation lets nobody approve what they edited. */
export class EditorApproval extends ReviewRefusal {
  constructor() {
    super(
      'self_approval',
      'You edited this message, and here another person has to approve what one has edited.',
    );
  }
}

export class Expired extends ReviewRefusal {
  constructor() {
    super('expired', 'Nobody decided in time, so this message has expired and will not be sent.');
  }
}

/** An approval would change nothing: the mailbox lets no mail out. */
export class MailboxShut extends ReviewRefusal {
  constructor(shut: 'closed' | 'read_only') {
    super(
      shut === 'closed' ? 'account_disabled' : 'read_only',
      shut === 'closed'
        ? 'The mailbox is closed, and nothing leaves it. You may reject the message.'
        : 'The mailbox is read_only, and nothing leaves it. Change its mode first, or reject the message.',
    );
  }
}

/** The message is not where this step begins; `state` is where it is. */
export class WrongState extends ReviewRefusal {
  readonly state: State;
  constructor(step: keyof typeof SENTENCES, state: State) {
    super(CODES[step], SENTENCES[step](state.replace('_', ' ')));
    this.state = state;
  }
}

const CODES = {
  decide: 'wrong_status',
  cancel: 'not_cancellable',
  settle: 'wrong_status',
  edit: 'not_editable',
} as const;

const SENTENCES = {
  edit: (state: string) =>
    `Only outgoing mail that is held or scheduled can be edited, and this message is ${state}.`,
  decide: (state: string) => `This message does not wait for a decision: it is ${state}.`,
  cancel: (state: string) => `This message can no longer be cancelled: it is ${state}.`,
  settle: (state: string) => `This message is not in doubt: it is ${state}.`,
};

/** Too late to cancel: an attempt has begun, or has reached a recipient. */
export class AlreadyHandedOff extends ReviewRefusal {
  readonly state: State;
  constructor(state: State) {
    super(
      'already_handed_off',
      'This message can no longer be cancelled: it was handed to the next hop already.',
    );
    this.state = state;
  }
}
