/**
 * The verdict on one message, from facts alone: no clock, no database, nothing changed.
 *
 *   ours (DSN, copy, notice) ───────────────▶ release | deliver
 *   inbound   gated_all, or not judgeable ──▶ hold        else ──▶ deliver
 *   outbound  closed or read_only ──────────▶ refuse (hold, once it was promised)
 *             reasons to look ──────────────▶ hold        (schedule_first: when its time has come)
 *             send_at ahead ────────────────▶ schedule    else ──▶ release
 *
 * What cannot be decided is held, never released.
 */
import type { Facts } from '../core/mail/facts.ts';
import { isGated, isMode, type Mode, strictest } from '../core/mail/mode.ts';
import type { Case } from '../core/store/judging.ts';
import { effectiveMode, notes, reasonsToHold } from './reasons.ts';

export type ReleasedBy = 'mode' | 'allowlist' | 'approval' | 'postern';

/** `mode` is the effective one: the strictest of what mailbox, caller and rules ask for. */
export type Verdict =
  | { step: 'release'; mode: Mode; by: ReleasedBy; copy: boolean }
  | { step: 'schedule'; mode: Mode; until: Date }
  | { step: 'hold'; mode: Mode; reasons: string[] }
  | { step: 'refuse'; mode: Mode; reason: string }
  | { step: 'deliver'; mode: Mode; copy: boolean };

/** Judges. Never throws: facts that cannot be judged are a reason to hold. */
export function decide(facts: Case): Verdict {
  try {
    if (facts.kind !== 'mail') return judgeOurs(facts);
    return facts.direction === 'inbound' ? judgeInbound(facts) : judgeOutbound(facts);
  } catch {
    return { step: 'hold', mode: 'gated_all', reasons: ['the message could not be judged'] };
  }
}

/** Postern's own words about mail are part of the service, not mail of the mailbox. */
function judgeOurs({ direction, mailboxMode }: Case): Verdict {
  const mode = isMode(mailboxMode) ? mailboxMode : 'gated_all';
  return direction === 'inbound'
    ? { step: 'deliver', mode, copy: false }
    : { step: 'release', mode, by: 'postern', copy: false };
}

function judgeInbound(facts: Case): Verdict {
  const mode = effectiveMode(facts);
  const reasons: string[] = [];
  if (!facts.mailboxActive) reasons.push('the mailbox was closed after this mail had been accepted');
  if (!isMode(facts.mailboxMode)) reasons.push(`the oversight mode "${facts.mailboxMode}" is unknown`);
  else if (mode === 'gated_all') reasons.push('all mail to this mailbox needs approval (gated_all)');
  return reasons.length > 0
    ? { step: 'hold', mode, reasons }
    : { step: 'deliver', mode, copy: mayBeForwarded(facts) };
}

/**
 * What has been here before, or is an answer that nobody wrote, could go round for ever. A forwarded message has a
 * null reverse-path, so one that comes back to us is known by that too. Nobody is sent what they wrote themselves.
 */
function mayBeForwarded({
  mailboxId,
  oversightAddress,
  oversightMailboxId,
  reversePath,
  facts,
}: Case): boolean {
  if (oversightAddress === null || oversightMailboxId === mailboxId || reversePath === '') return false;
  const { from, ourReceivedCount, autoSubmitted } = facts as Facts;
  const isTheirs = (address: string) => address.toLowerCase() === oversightAddress.toLowerCase();
  return (
    ourReceivedCount === 0 &&
    autoSubmitted !== 'auto-replied' &&
    ![reversePath, ...from.map(({ address }) => address)].some(isTheirs)
  );
}

function judgeOutbound(facts: Case): Verdict {
  const mode = effectiveMode(facts);
  if (!facts.mailboxActive) return stop(facts, mode, 'the mailbox is closed, and nothing leaves it');
  if (mode === 'read_only') return stop(facts, mode, 'the mailbox is read_only, and nothing leaves it');
  if (facts.approved) return { step: 'release', mode, by: 'approval', copy: false };

  const reasons = reasonsToHold(facts);
  const held = reasons.length > 0;
  // A reason makes the message a gated one, whatever its mailbox is: from now on only an approval opens it.
  const asked = held ? strictest(mode, 'gated_send') : mode;
  const ahead = facts.sendAt !== null && facts.sendAt > facts.now;
  if (ahead && (!held || facts.gateTiming === 'schedule_first'))
    return { step: 'schedule', mode: asked, until: facts.sendAt! };
  if (held) return { step: 'hold', mode: asked, reasons: [...reasons, ...notes(facts)] };
  return { step: 'release', mode, by: isGated(mode) ? 'allowlist' : 'mode', copy: mode === 'monitored' };
}

/**
 * Mail that just came is refused. What already waited for its hour is held: its mailbox changed meanwhile, and a
 * person should see it. It is then held as `gated_all`, so that it can be answered once the mailbox is open again;
 * while it is not, the mailbox's own mode keeps the gate shut.
 */
function stop(facts: Case, mode: Mode, reason: string): Verdict {
  if (facts.state === 'received') return { step: 'refuse', mode, reason };
  const shut = mode === 'read_only' ? 'gated_all' : strictest(mode, 'gated_send');
  return { step: 'hold', mode: shut, reasons: [reason, ...notes(facts)] };
}
