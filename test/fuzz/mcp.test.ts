/** Whatever a client sends to /mcp is answered, and never by an internal error. */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
let tools: { name: string; inputSchema: { properties: Record<string, unknown> } }[];
beforeAll(async () => {
  api = await startTestApi({ mcp: { legacy_tools: true } });
  await api.mailbox('fuzz@ours.example', 'gated_send');
  tools = (await ask({ jsonrpc: '2.0', id: 1, method: 'tools/list' })).json.result.tools;
});
afterAll(() => api.close());

const ask = (body: unknown, headers: Record<string, string> = {}) =>
  api.call('POST', '/mcp', { key: api.keys.admin, body, headers });

const NASTY = [
  '',
  '\0',
  '\ud800',
  '\u202e',
  '__proto__',
  '-1',
  '1e400',
  "'",
  '%',
  'a@b.example',
  'x'.repeat(5000),
];
const value = fc.oneof(
  fc.constantFrom<unknown>(...NASTY, null, true, 0, -1, 1.5, 1e308, [], {}, [[]], ['a@b.example'], {
    a: 'b',
  }),
  fc.jsonValue({ maxDepth: 2 }),
);

test('any JSON at all is answered, with a status that blames its sender or nobody', {
  timeout: 120_000,
}, async () => {
  const methods = [
    'initialize',
    'ping',
    'tools/list',
    'tools/call',
    'server/discover',
    'notifications/cancelled',
    'x',
  ];
  const versions = ['2026-07-28', '2025-11-25', '1', ''];
  const meta = fc.dictionary(
    fc.constantFrom(
      'io.modelcontextprotocol/protocolVersion',
      'io.modelcontextprotocol/clientCapabilities',
      'progressToken',
    ),
    fc.oneof(fc.constantFrom<unknown>(...versions, {}), value),
    { noNullPrototype: true },
  );
  const params = fc.oneof(
    value,
    fc.record(
      { name: value, arguments: value, protocolVersion: value, cursor: value, _meta: fc.oneof(meta, value) },
      { requiredKeys: [], noNullPrototype: true },
    ),
  );
  const message = fc.record(
    {
      jsonrpc: fc.oneof(fc.constant<unknown>('2.0'), value),
      id: value,
      method: fc.oneof(fc.constantFrom<unknown>(...methods), value),
      params,
    },
    { requiredKeys: ['jsonrpc'], noNullPrototype: true },
  );
  const header = fc.constantFrom<Record<string, string>>(
    {},
    ...versions.map((one) => ({ 'mcp-protocol-version': one })),
  );
  await fc.assert(
    fc.asyncProperty(fc.oneof(message, fc.object({ maxDepth: 2 })), header, async (body, headers) => {
      const { status, json, text } = await ask(JSON.stringify(body), {
        ...headers,
        'content-type': 'application/json',
      });
      expect(status).toBeLessThan(500);
      if (status === 202) expect(text).toBe('');
      else expect(json).toBeTypeOf('object');
      expect(json?.error?.code).not.toBe(-32603);
    }),
    { numRuns: 400 },
  );
});

test('any tool with any input is carried out or refused with a reason', { timeout: 240_000 }, async () => {
  const deadly = ['delete_account', 'wait_for_email'];
  const call = fc
    .constantFrom(...tools.filter(({ name }) => !deadly.includes(name)))
    .chain(({ name, inputSchema }) =>
      fc.record({
        name: fc.constant(name),
        arguments: fc.dictionary(
          fc.constantFrom(...Object.keys(inputSchema.properties), 'mailbox_id'),
          value,
          { noNullPrototype: true },
        ),
      }),
    );
  await fc.assert(
    fc.asyncProperty(call, async (params) => {
      const { status, json, text } = await ask({ jsonrpc: '2.0', id: 1, method: 'tools/call', params });
      expect(status, text).toBeLessThan(500);
      if (status !== 200) return;
      expect(json.result.content[0].type).toBe('text');
      expect(json.result.content[0].text).not.toMatch(/^5\d\d /);
      expect(json.result).not.toHaveProperty('structuredContent');
    }),
    { numRuns: 600 },
  );
});
