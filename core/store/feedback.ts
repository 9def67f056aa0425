/** What programs tell the operator about the gateway. It is shown to people, and sent nowhere. */
import type { Actor } from '../mail/actor.ts';
import { newId } from '../mail/id.ts';
import type { Db } from './database.ts';

export interface Feedback {
  type: 'tool_bug' | 'site_problem' | 'feature_request' | 'other';
  subject: string;
  description: string;
  toolName: string | null;
  errorMessage: string | null;
  principalId: string;
}

/** Keeps it, audited without its text; returns its id. */
export async function addFeedback(db: Db, feedback: Feedback, actor: Actor): Promise<string> {
  const id = newId();
  await db.query({
    text: `with made as (
        insert into feedback (id, type, subject, description, tool_name, error_message, principal_id)
        values ($1, $2, $3, $4, $5, $6, $7) returning id, type)
      insert into audit_events (action, resource_type, resource_id, actor_type, actor_id, actor_name, metadata)
      select 'feedback.received', 'feedback', id, $8, $9, $10, jsonb_build_object('type', type) from made`,
    values: [
      id,
      feedback.type,
      feedback.subject,
      feedback.description,
      feedback.toolName,
      feedback.errorMessage,
      feedback.principalId,
      actor.type,
      actor.id,
      actor.name,
    ],
  });
  return id;
}
