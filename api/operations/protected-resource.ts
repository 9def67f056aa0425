/** What a program that knows nothing of Postern is told about its keys (RFC 9728). */
import { z } from 'zod';
import { SCOPES } from '../../core/store/keys.ts';
import { operation } from '../operation.ts';

/** Names no authorization server: keys are made by people, not asked for by programs. */
export const protectedResource = operation({
  name: 'protected_resource',
  summary: 'How to show a key, and what scopes there are',
  area: 'identity',
  access: 'none',
  method: 'GET',
  path: '/.well-known/oauth-protected-resource',
  input: z.object({}),
  output: z.object({
    resource: z.string(),
    bearer_methods_supported: z.array(z.string()),
    scopes_supported: z.array(z.enum(SCOPES)),
  }),
  async handle(_, { baseUrl }) {
    return { resource: baseUrl, bearer_methods_supported: ['header'], scopes_supported: [...SCOPES] };
  },
});

export const protectedResourceOperations = [protectedResource];
