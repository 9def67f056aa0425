/** What programs tell the operator about this gateway. */
import { z } from 'zod';
import { addFeedback } from '../../core/store/feedback.ts';
import { label } from '../input/kinds.ts';
import { operation } from '../operation.ts';

const reportIssue = operation({
  name: 'report_issue',
  summary: 'Tell the operator what does not work, or is missing; it is sent nowhere else',
  area: 'support',
  access: 'any',
  confined: true,
  method: 'POST',
  path: '/v1/feedback',
  input: z.object({
    type: z.enum(['tool_bug', 'site_problem', 'feature_request', 'other']),
    subject: label,
    description: z.string().trim().min(1).max(16_384),
    tool_name: label.optional(),
    error_message: z.string().max(4096).optional(),
  }),
  output: z.object({ id: z.string(), status: z.literal('received') }),
  tool: {
    description:
      'Tell whoever operates this gateway that a tool misbehaves, that something is missing, or anything else. People here read it; it goes nowhere else.',
    takes: ['type', 'subject', 'description', 'tool_name', 'error_message'],
    hints: [],
  },
  async handle(input, { runtime, caller }) {
    const id = await addFeedback(
      runtime.database.pool,
      {
        type: input.type,
        subject: input.subject,
        description: input.description,
        toolName: input.tool_name ?? null,
        errorMessage: input.error_message ?? null,
        principalId: caller.key.principalId,
      },
      caller.actor,
    );
    return { id, status: 'received' as const };
  },
});

export const feedbackOperations = [reportIssue];
