/**
 * What belongs to the hosted service and not to a gateway of one's own: signing up, paying, and the hooks of its
 * providers. A program that calls it is told so, and what to do here instead, before its body is read.
 */
import type { Tool } from '../operation.ts';
import { Problem } from '../problem.ts';

const HINTS = {
  account: 'This Postern has its one account from the first start. Make API keys with `postern key create`.',
  key: 'Make an API key with `postern key create` on the machine that runs this Postern.',
  billing: 'There is nothing to pay. Limits are settings of the configuration file.',
  support: 'Whoever runs this Postern answers questions; POST /v1/feedback leaves them a note.',
  funnel: 'Nothing is tracked here.',
  provider: 'Mail comes in by SMTP; see smtp in the configuration file.',
  oauth:
    'Postern has no authorization server. Make an API key with `postern key create` and send it as a bearer token.',
} as const;

const EVERY = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const;
export type Method = (typeof EVERY)[number];

export interface HostedPath {
  methods: readonly Method[];
  path: string;
  hint: string;
}

const POST = ['POST'] as const;
const GET = ['GET'] as const;

export const HOSTED_PATHS: readonly HostedPath[] = [
  { methods: POST, path: '/v1/account', hint: HINTS.account },
  { methods: POST, path: '/v1/account/challenge', hint: HINTS.account },
  { methods: POST, path: '/v1/account/did-challenge', hint: HINTS.account },
  { methods: POST, path: '/v1/account/resend-confirmation', hint: HINTS.account },
  { methods: ['GET', 'POST'], path: '/v1/confirm', hint: HINTS.account },
  { methods: GET, path: '/v1/confirm/:code', hint: HINTS.account },
  { methods: GET, path: '/v1/slug-check/:slug', hint: HINTS.account },
  { methods: POST, path: '/v1/support', hint: HINTS.support },
  { methods: POST, path: '/v1/funnel/event', hint: HINTS.funnel },
  { methods: EVERY, path: '/v1/billing', hint: HINTS.billing },
  { methods: EVERY, path: '/v1/billing/*', hint: HINTS.billing },
  { methods: POST, path: '/v1/webhooks/postmark', hint: HINTS.provider },
  { methods: POST, path: '/v1/webhooks/postmark-inbound', hint: HINTS.provider },
  { methods: POST, path: '/v1/admin/recover-key', hint: HINTS.key },
  { methods: POST, path: '/agent/auth', hint: HINTS.oauth },
  { methods: GET, path: '/agent/auth/claim/view', hint: HINTS.oauth },
  { methods: POST, path: '/agent/auth/claim/complete', hint: HINTS.oauth },
  { methods: GET, path: '/auth.md', hint: HINTS.oauth },
  { methods: GET, path: '/.well-known/oauth-authorization-server', hint: HINTS.oauth },
  { methods: ['GET', 'POST'], path: '/onboard', hint: HINTS.account },
];

/** The hosted service's tools: each is a path too. */
export const HOSTED_TOOLS: readonly { name: string; hints: Tool['hints']; hint: string }[] = [
  { name: 'upgrade_plan', hints: [], hint: HINTS.billing },
  { name: 'cancel_subscription', hints: ['destructive', 'idempotent'], hint: HINTS.billing },
  { name: 'get_billing_portal', hints: ['readOnly', 'idempotent'], hint: HINTS.billing },
  { name: 'request_challenge', hints: [], hint: HINTS.account },
  { name: 'create_account', hints: [], hint: HINTS.account },
  { name: 'resend_confirmation', hints: [], hint: HINTS.account },
  { name: 'activate_account', hints: [], hint: HINTS.account },
];

/** Every hosted-only path, those of the tools included. */
export function hostedPaths(): readonly HostedPath[] {
  const tools = HOSTED_TOOLS.map(({ name, hints, hint }) => ({
    methods: hints.includes('readOnly') ? (['GET', 'POST'] as const) : POST,
    path: `/v1/${name}`,
    hint,
  }));
  return [...HOSTED_PATHS, ...tools];
}

/** The answer of all of them. */
export function hostedOnly(hint: string): Problem {
  return new Problem(404, 'hosted_only', 'This belongs to the hosted service and does not exist here.', {
    hint,
  });
}
