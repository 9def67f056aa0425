/**
 * Tools of the hosted service that have no counterpart here: they take what they take there, and answer how the same
 * is done with a Postern of one's own. They are tools only; the paths of the hosted service are in dialects/.
 */
import { z } from 'zod';
import { HOSTED_TOOLS, hostedOnly } from '../dialects/hosted.ts';
import type { Operation, Tool } from '../operation.ts';

const text = z.string().max(2048);

const solution = z.object({
  algorithm: text,
  challenge: text,
  number: z.number(),
  salt: text,
  signature: text,
});

/** What each does elsewhere, and what it takes. */
const ELSEWHERE: Readonly<Record<string, [does: string, input: z.ZodObject]>> = {
  upgrade_plan: [
    'begins the purchase of a plan',
    z.object({
      plan: z.enum(['builder', 'pro', 'scale']),
      interval: z.enum(['monthly', 'annual']).optional(),
    }),
  ],
  cancel_subscription: ['ends a paid plan', z.object({ approval_code: z.string().max(16).optional() })],
  get_billing_portal: ['gives the address of the billing pages', z.object({ return_url: text.optional() })],
  request_challenge: ['is the first step of signing up', z.object({ oversight_email: text.optional() })],
  create_account: [
    'signs up',
    z.object({
      operator_name: z.string().max(200),
      oversight_email: text,
      accepted_tos: z.literal(true),
      accepted_operator_agreement: z.literal(true),
      accepted_anti_spam_policy: z.literal(true),
      pow_solution: solution,
      slug: text.optional(),
      physical_address: text.optional(),
      use_case: text.optional(),
      oversight_mode: z.enum(['gated_all', 'gated_send', 'monitored']).optional(),
    }),
  ],
  resend_confirmation: [
    'sends the mail that confirms a sign-up once more',
    z.object({ oversight_email: text }),
  ],
  activate_account: ['is the last step of signing up', z.object({ code: text })],
};

export const HOSTED: readonly (Operation & { tool: Tool })[] = HOSTED_TOOLS.map(({ name, hints, hint }) => {
  const [does, input] = ELSEWHERE[name]!;
  const description = `Not available on this Postern. On the hosted service it ${does}. ${hint}`;
  return {
    name,
    summary: `Hosted service only: ${does}`,
    area: 'account',
    access: 'none',
    method: 'POST',
    path: `/v1/${name}`,
    input,
    output: z.object({}),
    tool: { description, takes: Object.keys(input.shape), hints },
    async handle() {
      throw hostedOnly(hint);
    },
  };
});
