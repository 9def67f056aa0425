import { expect, test } from 'vitest';
import { checkHeaders } from '../../api/mcp/headers.ts';
import { nudger } from '../../api/mcp/nudge.ts';
import { answer, beats, META, type Request, read, type Server } from '../../api/mcp/protocol.ts';

const server: Server = {
  info: { name: 'postern', version: '0' },
  instructions: 'Be kind.',
  tools: {
    list: () => [{ name: 'one' }],
    call: async (name) => ({ content: [{ type: 'text', text: name }] }),
  },
};
const gone = new AbortController().signal;
const modern = { [META.version]: '2026-07-28', [META.capabilities]: {} };
const request = (method: string, params: Record<string, unknown> = {}): Request => ({
  id: 1,
  method,
  params,
});
// biome-ignore lint/suspicious/noExplicitAny: answers are looked into as JSON
const ask = async (one: Request, version?: string): Promise<any> => answer(one, server, { gone, version });

test.each([
  ['2025-11-25', '2025-11-25'],
  ['2025-06-18', '2025-06-18'],
  ['2024-11-05', '2024-11-05'],
  ['1999-01-01', '2025-11-25'],
  [undefined, '2025-11-25'],
])('initialize with %s is answered in %s', async (asked, spoken) => {
  const { message } = await ask(request('initialize', { protocolVersion: asked }));
  expect(message.result).toEqual({
    protocolVersion: spoken,
    capabilities: { tools: {} },
    serverInfo: { name: 'postern', version: '0' },
    instructions: 'Be kind.',
  });
});

test('a request that names the present revision is answered in it, without a handshake', async () => {
  const list = await ask(request('tools/list', { _meta: modern }), '2026-07-28');
  expect(list.message.result).toEqual({
    resultType: 'complete',
    _meta: { [META.server]: { name: 'postern', version: '0' } },
    ttlMs: 300_000,
    cacheScope: 'private',
    tools: [{ name: 'one' }],
  });
  const call = await ask(request('tools/call', { name: 'one', _meta: modern }), '2026-07-28');
  expect(call.message.result).toMatchObject({ resultType: 'complete', content: [{ text: 'one' }] });
});

test.each([
  ['ping', {}, undefined, 200, undefined],
  ['ping', { _meta: modern }, '2026-07-28', 404, -32601],
  ['server/discover', {}, '2026-07-28', 400, -32602],
  ['server/discover', { _meta: { [META.version]: '2026-07-28' } }, '2026-07-28', 400, -32602],
  ['server/discover', { _meta: { ...modern, [META.version]: '1' } }, '1', 400, -32022],
  ['server/discover', { _meta: { ...modern, [META.version]: '1' } }, '2026-07-28', 400, -32020],
  ['tools/list', {}, '1999-01-01', 400, -32022],
  ['tools/list', {}, '2025-11-25', 200, undefined],
  ['tools/list', { cursor: 'x' }, undefined, 200, -32602],
  ['tools/call', {}, undefined, 200, -32602],
  ['tools/call', { name: 'one', arguments: [] }, undefined, 200, -32602],
  ['prompts/list', {}, undefined, 200, -32601],
])('%s with %j under %s is answered by %i and %s', async (method, params, version, status, code) => {
  const said = await ask(request(method, params), version);
  expect(said.status).toBe(status);
  expect(said.message.error?.code).toBe(code);
  expect(said.message.id).toBe(1);
});

test('an unsupported version is told which there are', async () => {
  const { message } = await ask(request('tools/list', { _meta: { ...modern, [META.version]: '1' } }));
  expect(message.error.data).toMatchObject({ requested: '1' });
  expect(message.error.data.supported).toContain('2026-07-28');
});

test.each([
  [{ jsonrpc: '2.0', id: 1, method: 'ping' }, 'request'],
  [{ jsonrpc: '2.0', id: 'a', method: 'ping', params: {} }, 'request'],
  [{ jsonrpc: '2.0', method: 'notifications/initialized' }, 'notification'],
  [{ jsonrpc: '2.0', id: 1, result: {} }, 'response'],
  [{ jsonrpc: '2.0', id: null, method: 'ping' }, 'invalid'],
  [{ jsonrpc: '1.0', id: 1, method: 'ping' }, 'invalid'],
  [{ jsonrpc: '2.0', id: 1, method: 'ping', params: [] }, 'invalid'],
  [{}, 'invalid'],
  [[{ jsonrpc: '2.0', id: 1, method: 'ping' }], 'invalid'],
  ['ping', 'invalid'],
  [undefined, 'invalid'],
])('%j is read as a %s', (value, kind) => {
  expect(read(value).kind).toBe(kind);
});

const call = request('tools/call', { name: 'one', _meta: modern });
test.each([
  [call, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'one' }, true],
  [
    call,
    { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': '=?base64?b25l?=' },
    true,
  ],
  [call, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call', 'mcp-name': 'two' }, false],
  [call, { 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/call' }, false],
  [call, { 'mcp-protocol-version': '2026-07-28', 'mcp-name': 'one' }, false],
  [call, { 'mcp-protocol-version': '2025-11-25' }, false],
  [call, {}, false],
  [request('tools/call', { name: 'one' }), {}, true],
  [request('tools/call', { name: 'one' }), { 'mcp-protocol-version': '2025-06-18' }, true],
])('the headers of %j being %j fit: %s', (one, headers, fits) => {
  const refusal = checkHeaders(one, headers);
  expect(refusal === undefined).toBe(fits);
  if (!fits) expect(refusal).toMatchObject({ code: -32020, status: 400 });
});

test('an answer that is there is said at once, and nothing before it', async () => {
  const said = [];
  for await (const one of beats(call, ask(call, '2026-07-28'))) said.push(one);
  expect(said).toHaveLength(1);
});

test('the word about an unset mailbox is said once in its time, and only where it is true', async () => {
  let now = 0;
  const nudges = nudger(1000, () => now);
  const unset = async () => ({ mcp_configured: 0, oversight_mode: 'gated_send', display_name: 'A' });
  expect(await nudges.word('k a', unset)).toEqual({
    setup_required: true,
    current_settings: {
      oversight_mode: 'gated_send',
      display_name: 'A',
      auto_cc: null,
      auto_bcc: null,
      default_gate_timing: null,
      signature_block: null,
    },
    setup_prompt: expect.stringContaining('configure_mailbox'),
  });
  expect(await nudges.word('k a', unset)).toBeUndefined();
  expect(await nudges.word('k b', unset)).toBeDefined();
  now = 1001;
  expect(await nudges.word('k a', async () => ({ mcp_configured: 1 }))).toBeUndefined();
  now = 3000;
  expect(await nudges.word('k a', () => Promise.reject(new Error('no')))).toBeUndefined();
});
