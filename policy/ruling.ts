import { newId } from '../core/mail/id.ts';
import { after } from '../core/mail/lifecycle.ts';
import type { Case, Ruling } from '../core/store/judging.ts';
import { overseersCopy } from './copy.ts';
import type { Verdict } from './decide.ts';

const ACTIONS = {
  release: 'message.released',
  schedule: 'message.scheduled',
  hold: 'message.held',
  refuse: 'message.refused',
  deliver: 'message.delivered',
} as const satisfies Record<Verdict['step'], string>;

/** A verdict as it is to be written. Throws when the lifecycle knows no such step from where the message is. */
export function rulingOf(facts: Case, verdict: Verdict): Ruling {
  const { step, mode } = verdict;
  const owed = step === 'refuse' && answersByDsn(facts);
  return {
    id: facts.id,
    from: facts.state,
    to: after(facts.state, step),
    action: ACTIONS[step],
    mode,
    releasedBy: step === 'release' ? verdict.by : null,
    hold: step === 'hold' ? { id: newId(), reasons: verdict.reasons, expiresAt: expiryOf(facts) } : null,
    wakeAt: wakeOf(facts, verdict, owed),
    statusReason: step === 'refuse' ? verdict.reason : null,
    dsnOwed: owed ? 'rejected' : null,
    metadata: metadataOf(facts, verdict),
    copies:
      'copy' in verdict && verdict.copy ? [overseersCopy(facts)].filter((copy) => copy !== undefined) : [],
  };
}

/** A client of REST reads the status; who handed mail in by SMTP gets a DSN. Strangers get nothing from us. */
function answersByDsn({ direction, source }: Case): boolean {
  return direction === 'outbound' && (source === 'submission' || source === 'trusted');
}

function expiryOf({ now, holdExpiryHours }: Case): Date {
  return new Date(now.getTime() + holdExpiryHours * 3_600_000);
}

/** Mail on its way keeps the wake-up it has: the row then changes in its page, and no index is touched. */
function wakeOf(facts: Case, verdict: Verdict, owed: boolean): Ruling['wakeAt'] {
  switch (verdict.step) {
    case 'release':
      return 'keep';
    case 'schedule':
      return verdict.until;
    case 'hold':
      return expiryOf(facts);
    case 'refuse':
      return owed ? 'keep' : null;
    case 'deliver':
      return null;
  }
}

function metadataOf(facts: Case, verdict: Verdict): object {
  return {
    mailbox_mode: facts.mailboxMode,
    ...(facts.requestedMode !== null && { requested_mode: facts.requestedMode }),
    ...(verdict.step === 'release' && { by: verdict.by }),
    ...(verdict.step === 'hold' && { reasons: verdict.reasons }),
    ...(verdict.step === 'refuse' && { reason: verdict.reason }),
    ...(verdict.step === 'schedule' && { send_at: verdict.until }),
  };
}
