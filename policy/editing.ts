/**
 * A reviewer's edit of mail that waits (api 5.6): it is judged anew with its new content.
 *
 *   held ───────────────────────▶ held        the same hold, the same expiry, other reasons
 *   scheduled ─┬─ was approved ─▶ held        the approval was for another content
 *              ├─ gate closed ──▶ held        as the verdict on the new content says
 *              └─ gate open ────▶ scheduled
 */
import type { Actor } from '../core/mail/actor.ts';
import { strictest } from '../core/mail/mode.ts';
import { type Case, readCase } from '../core/store/judging.ts';
import { standing } from '../core/store/reviewing.ts';
import { type Revision, revise, type Written } from '../core/store/revising.ts';
import { isAllowlisted } from '../core/store/senders.ts';
import { decide } from './decide.ts';
import { ContentChanged, Expired, NotFound, WrongState } from './refusals.ts';
import type { House } from './review.ts';

export interface Edit {
  messageId: string;
  /** Hex: the content that the editor saw. */
  digest: string;
  written: Written;
  changed: string[];
  reason: string | null;
  diff: string | null;
  principal: { id: string; name: string };
  actor: Actor;
}

export interface Edited {
  state: 'held' | 'scheduled';
  digest: string;
}

const TRIES = 3;

/**
 * Writes an edit: content, revision, hold and audit together, or nothing. Throws NotFound, ContentChanged, Expired or
 * WrongState; then nothing has changed.
 */
export async function edit(house: House, edit: Edit): Promise<Edited> {
  const { database, metrics } = house;
  for (let attempt = 1; ; attempt++) {
    const facts = await readCase(database.pool, edit.messageId);
    const revision = facts && (await revisionOf(house, facts, edit));
    if (revision !== undefined && (await revise(database, revision))) {
      metrics.review('edit', 'done');
      return { state: revision.to as Edited['state'], digest: edit.written.digest };
    }
    const refusal = await refusalOf(house, edit);
    if (refusal === undefined && attempt < TRIES) continue;
    metrics.review('edit', 'refused');
    throw refusal ?? new ContentChanged(edit.digest);
  }
}

/** Undefined for what is not where an edit begins. */
async function revisionOf({ database }: House, facts: Case, edit: Edit): Promise<Revision | undefined> {
  const { state } = facts;
  if (facts.direction !== 'outbound' || facts.kind !== 'mail') return undefined;
  if (state !== 'held' && state !== 'scheduled') return undefined;
  const { written, principal } = edit;
  const { content, forwardPaths } = written;
  const verdict = decide({
    ...facts,
    ...(content !== null && { facts: content.facts, subject: content.subject, size: content.size }),
    forwardPaths,
    approved: false,
    allowlisted:
      facts.mailboxMode === 'gated_send' &&
      (await isAllowlisted(database.pool, facts.mailboxId, forwardPaths)),
  });
  const waits = state === 'scheduled' && !facts.approved && verdict.step === 'schedule';
  const byWhom = `edited by ${principal.name}${facts.approved ? ', after it had been approved as it was' : ''}`;
  return {
    messageId: edit.messageId,
    digest: edit.digest,
    from: state,
    to: waits ? 'scheduled' : 'held',
    ...(!waits && {
      hold: {
        reasons: [...(verdict.step === 'hold' ? verdict.reasons : []), byWhom],
        expiresAt: new Date(facts.now.getTime() + facts.holdExpiryHours * 3_600_000),
        mode: strictest(verdict.mode, 'gated_send'),
      },
    }),
    written,
    // Somebody may approve between our looking and our writing; then it is looked at again.
    unlessApproved: !facts.approved,
    audit: {
      action: 'message.edited',
      actor: edit.actor,
      metadata: {
        changed: edit.changed,
        to_before: facts.forwardPaths,
        to: forwardPaths,
        ...(edit.reason !== null && { reason: edit.reason }),
      },
    },
    revision: { principal, changed: edit.changed, reason: edit.reason, diff: edit.diff },
  };
}

/** Why nothing was written; undefined when there is no reason any more. */
async function refusalOf({ database }: House, { messageId, digest }: Edit): Promise<Error | undefined> {
  const stands = await standing(database.pool, messageId, null);
  if (stands === undefined) return new NotFound();
  if (stands.state === 'expired' || stands.holdExpired) return new Expired();
  if (stands.state !== 'held' && stands.state !== 'scheduled') return new WrongState('edit', stands.state);
  return stands.digest === digest ? undefined : new ContentChanged(stands.digest);
}
