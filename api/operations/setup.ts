/** How a client is connected, for whoever has just found this Postern. */
import { z } from 'zod';
import { setupText } from '../mcp/setup.ts';
import { operation } from '../operation.ts';

export const setupMultimail = operation({
  name: 'setup_multimail',
  summary: 'How to connect a client: the address, a key, the first mailbox',
  area: 'support',
  access: 'none',
  method: 'GET',
  path: '/v1/setup_multimail',
  input: z.object({}),
  output: z.object({ text: z.string() }),
  tool: {
    description:
      'Says how a client is connected to this Postern: its address, how a key is made, the first mailbox.',
    takes: [],
    hints: ['readOnly', 'idempotent'],
    tells: 'text',
  },
  async handle(_, { baseUrl, caller }) {
    return { text: setupText({ baseUrl, client: caller.key.id === '' ? 'unknown' : 'connected' }) };
  },
});

export const setupOperations = [setupMultimail];
