/** Events of the audit log as callers see them: what was written at the time, and what the message itself says. */
import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { State } from '../../core/mail/lifecycle.ts';
import { isGated, isMode } from '../../core/mail/mode.ts';
import { type AuditEvent, auditId } from '../../core/store/audit.ts';
import { type AuditSubject, policiesInForce, subjectsOf } from '../../core/store/audit-subjects.ts';
import type { Db } from '../../core/store/database.ts';
import { statusOf } from './statuses.ts';

export const AuditEntry = z.object({
  id: z.string(),
  action: z.string(),
  resource_type: z.string(),
  resource_id: z.string(),
  mailbox_id: z.string().nullable(),
  actor: z.object({ type: z.string(), id: z.string().nullable(), name: z.string() }),
  actor_key_id: z.string().nullable(),
  from_state: z.string().nullable(),
  to_state: z.string().nullable(),
  metadata: z.record(z.string(), z.unknown()).nullable(),
  created_at: z.string(),
});
export type Entry = z.input<typeof AuditEntry>;

/** The entries of a page, in its order. */
export async function entriesOf(db: Db, events: AuditEvent[]): Promise<Entry[]> {
  const [subjects, policies] = await Promise.all([subjectsOf(db, events), policiesInForce(db)]);
  return events.map((event) => {
    const policy = policies.findLast(({ seq }) => seq <= event.seq)?.hash ?? null;
    const subject = event.resourceType === 'message' ? subjects.get(event.resourceId) : undefined;
    return entryOf(event, subject === undefined ? {} : ofMessage(event, subject, policy));
  });
}

function entryOf(event: AuditEvent, added: Record<string, unknown>): Entry {
  const metadata = { ...added, ...event.metadata };
  return {
    id: auditId(event),
    action: event.action,
    resource_type: event.resourceType,
    resource_id: event.resourceId,
    mailbox_id: event.mailboxId,
    actor: { type: event.actorType, id: event.actorId, name: event.actorName },
    actor_key_id: event.actorType === 'key' ? event.actorId : null,
    from_state: event.fromState,
    to_state: event.toState,
    metadata: Object.keys(metadata).length > 0 ? metadata : null,
    created_at: event.at.toISOString(),
  };
}

/** What every event of a message tells; never its text or subject. */
function ofMessage(event: AuditEvent, m: AuditSubject, policyHash: string | null): Record<string, unknown> {
  const status = (event.toState ?? m.state) as State | null;
  return {
    message_id: m.id,
    mailbox_id: event.mailboxId,
    agent: m.agent,
    from: m.from,
    to: m.to,
    subject_hash: m.subjectHash ?? (m.subject === null ? null : sha256(m.subject)),
    requested_mode: m.requestedMode,
    effective_mode: m.effectiveMode,
    approval_required: needsApproval(m),
    approval: approvalAt(event, m),
    delivery_status:
      status === null || m.direction === null
        ? null
        : statusOf({ state: status, direction: m.direction, recipients: [] }),
    tags: m.tags,
    policy_hash: policyHash,
  };
}

function needsApproval({ releasedBy, state, effectiveMode, direction }: AuditSubject): boolean {
  if (state === 'held' || releasedBy === 'approval') return true;
  if (effectiveMode === null || !isMode(effectiveMode)) return false;
  if (direction === 'inbound') return effectiveMode === 'gated_all';
  return isGated(effectiveMode) && releasedBy !== 'allowlist' && releasedBy !== 'postern';
}

/** The decision that stood when the event was written; the event of the decision itself carries it. */
function approvalAt({ at }: AuditEvent, { decisions }: AuditSubject): Record<string, unknown> | null {
  const last = decisions.findLast((decision) => decision.at <= at);
  if (last === undefined) return null;
  const { by, decision, reason, digest } = last;
  return { by, at: last.at.toISOString(), decision, reason, content_hash: digest };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
