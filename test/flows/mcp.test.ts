import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';
import { callTool, mcpClient } from '../support/mcp.ts';

let api: TestApi;

beforeAll(async () => {
  api = await startTestApi();
  await api.mailbox('agent@ours.example', 'gated_send');
});

afterAll(async () => {
  await api.close();
});

const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list' };

/** A POST to /mcp as it stands on the wire: fetch would set Host and Origin by itself. */
function post(
  headers: Record<string, string>,
  body: unknown = LIST,
): Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }> {
  const { hostname, port } = new URL(api.url);
  return new Promise((resolve, reject) => {
    const asked = request(
      {
        hostname,
        port,
        path: '/mcp',
        method: 'POST',
        headers: { 'content-type': 'application/json', ...headers },
      },
      async (reply) =>
        resolve({ status: reply.statusCode!, headers: reply.headers, text: await text(reply) }),
    );
    asked.on('error', reject);
    asked.end(typeof body === 'string' ? body : JSON.stringify(body));
  });
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

async function names(key: string): Promise<string[]> {
  const client = await mcpClient(api.url, key);
  const { tools } = await client.listTools();
  await client.close();
  return tools.map(({ name }) => name);
}

async function once(key: string, tool: string, given: Record<string, unknown> = {}) {
  const client = await mcpClient(api.url, key);
  try {
    return await callTool(client, tool, given);
  } finally {
    await client.close();
  }
}

test('without a key nobody is answered, and is told where to learn more', async () => {
  const { status, headers, text } = await post({});
  expect(status).toBe(401);
  expect(headers['www-authenticate']).toMatch(/^Bearer realm="postern", resource_metadata="http/);
  expect(JSON.parse(text)).toMatchObject({ code: 'missing_credentials', status: 401 });
  expect((await post(bearer('mm_test_nothing'))).status).toBe(401);
  expect((await post({ ...bearer(api.keys.admin), 'x-api-key': api.keys.agent })).status).toBe(401);
});

test.each([
  ['authorization', (key: string) => bearer(key)],
  ['x-api-key', (key: string) => ({ 'x-api-key': key })],
])('a key in %s is answered as JSON', async (_, headers) => {
  const reply = await post(headers(api.keys.agent));
  expect(reply.status).toBe(200);
  expect(reply.headers['content-type']).toBe('application/json; charset=utf-8');
  expect(JSON.parse(reply.text).result.tools.length).toBeGreaterThan(1);
});

test.each(['http://evil.example', 'null', 'http://localhost:1', 'http://127.0.0.1'])(
  'K-04: a page from %s is refused, whatever key it has',
  async (origin) => {
    const reply = await post({ ...bearer(api.keys.admin), origin });
    expect(reply.status).toBe(403);
    expect(JSON.parse(reply.text).code).toBe('foreign_origin');
  },
);

test('K-04: a page of our own origin is answered, and another host name is not ours', async () => {
  expect((await post({ ...bearer(api.keys.agent), origin: api.url })).status).toBe(200);
  const rebound = await post({
    ...bearer(api.keys.admin),
    host: 'evil.example',
    origin: 'http://evil.example',
  });
  expect(rebound.status).toBe(403);
  expect(JSON.parse(rebound.text).code).toBe('unknown_host');
});

test('K-04: no session is ever given out, so there is none to guess', async () => {
  const hello = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25' } };
  const reply = await post(bearer(api.keys.agent), hello);
  expect(reply.status).toBe(200);
  expect(reply.headers['mcp-session-id']).toBeUndefined();
  const guess = await post({ ...bearer(api.keys.agent), 'mcp-session-id': '1' });
  expect(guess.text).toBe((await post(bearer(api.keys.agent))).text);
  expect((await post({ 'mcp-session-id': '1' })).status).toBe(401);
});

test.each(['GET', 'DELETE', 'PUT'])('%s is no way to speak MCP', async (method) => {
  const reply = await api.call(method, '/mcp', { key: api.keys.admin });
  expect(reply.status).toBe(405);
  expect(reply.headers.get('allow')).toBe('POST');
});

test('what is no request is told so, in the words of JSON-RPC where it can be', async () => {
  const key = bearer(api.keys.agent);
  expect(JSON.parse((await post(key, { id: 7, method: 'ping' })).text)).toMatchObject({
    id: 7,
    error: { code: -32600 },
  });
  expect((await post(key, '{"jsonrpc":')).status).toBe(400);
  expect((await post(key, [LIST])).status).toBe(400);
  expect((await post({ ...key, 'content-type': 'text/plain' })).status).toBe(415);
  expect((await post({ ...key, accept: 'text/html' })).status).toBe(406);
  const note = await post(key, { jsonrpc: '2.0', method: 'notifications/initialized' });
  expect({ status: note.status, text: note.text }).toEqual({ status: 202, text: '' });
});

test('a message larger than the largest mail is refused before it is read', async () => {
  const key = bearer(api.keys.agent);
  const { hostname, port } = new URL(api.url);
  const status = await new Promise((resolve, reject) => {
    const headers = { ...key, 'content-type': 'application/json', 'content-length': String(41 << 20) };
    const asked = request({ hostname, port, path: '/mcp', method: 'POST', headers, agent: false });
    asked.on('response', (reply) => resolve(reply.statusCode));
    asked.on('error', reject);
    asked.write('{');
  });
  expect(status).toBe(413);
});

test('a client that reads nothing but streams gets one, which ends with the answer', async () => {
  const reply = await post({ ...bearer(api.keys.agent), accept: 'text/event-stream' });
  expect(reply.headers['content-type']).toBe('text/event-stream');
  expect(reply.headers['x-accel-buffering']).toBe('no');
  const events = reply.text.split('\n\n').filter((event) => event.startsWith('event: message'));
  expect(JSON.parse(events[0]!.split('data: ')[1]!)).toMatchObject({
    id: 1,
    result: { tools: expect.any(Array) },
  });
  expect(events).toHaveLength(1);
});

test('guessing keys is stopped here as everywhere', async () => {
  const own = await startTestApi();
  try {
    const guess = () => own.call('POST', '/mcp', { key: `mm_test_${'x'.repeat(32)}`, body: LIST });
    for (let n = 0; n < 20; n++) expect((await guess()).status).toBe(401);
    const stopped = await guess();
    expect(stopped.status).toBe(429);
    expect(stopped.headers.get('retry-after')).toMatch(/^\d+$/);
  } finally {
    await own.close();
  }
});

test('where keys are limited, a key has no more calls here than elsewhere', async () => {
  const own = await startTestApi({ limits: { requests_per_key_minute: 3 } });
  try {
    const call = () => own.call('POST', '/mcp', { key: own.keys.agent, body: LIST });
    expect((await own.call('GET', '/v1/mailboxes', { key: own.keys.agent })).status).toBe(200);
    expect([(await call()).status, (await call()).status]).toEqual([200, 200]);
    const stopped = await call();
    expect(stopped.status).toBe(429);
    expect(stopped.headers.get('retry-after')).toMatch(/^\d+$/);
  } finally {
    await own.close();
  }
});

const ALWAYS = [
  'setup_multimail',
  'upgrade_plan',
  'cancel_subscription',
  'get_billing_portal',
  'request_challenge',
  'create_account',
  'resend_confirmation',
  'activate_account',
];

test('K-02: a key that may send sees nothing of deciding, webhooks or keys', async () => {
  const { apiKey } = await api.key({ scopes: ['send'] });
  const seen = await names(apiKey);
  expect(seen).toEqual(expect.arrayContaining([...ALWAYS, 'send_email', 'cancel_message', 'list_pending']));
  const hidden =
    /^(decide_email|.*webhook.*|.*api_key.*|update_.*|configure_.*|get_audit_log|delete_(account|mailbox))$/;
  expect(seen.filter((name) => hidden.test(name))).toEqual([]);
  const refused = await once(apiKey, 'decide_email', {
    email_id: '01JAAAAAAAAAAAAAAAAAAAAAAA',
    action: 'approve',
  });
  expect(refused.isError).toBe(true);
  expect(refused.text).toMatch(/^403 scope_missing: .*oversight/);
});

test('a reviewer sees what waits and how to decide it, and a key that may look does not decide', async () => {
  expect(await names(api.keys.reviewer)).toEqual(expect.arrayContaining(['list_pending', 'decide_email']));
  const { apiKey } = await api.key({ scopes: ['oversight_read'] });
  const seen = await names(apiKey);
  expect(seen).toContain('list_pending');
  expect(seen).not.toContain('decide_email');
});

test('with mcp.list_all_tools every key sees every tool, and may call no more of them', async () => {
  const own = await startTestApi({ mcp: { list_all_tools: true } });
  try {
    const client = await mcpClient(own.url, own.keys.agent);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).toContain('decide_email');
    const refused = await callTool(client, 'list_api_keys');
    expect(refused.text).toMatch(/^403 scope_missing/);
    await client.close();
  } finally {
    await own.close();
  }
});

test.each([
  ['upgrade_plan', { plan: 'pro' }],
  ['cancel_subscription', {}],
  ['get_billing_portal', { return_url: 'https://x.example' }],
  ['request_challenge', { oversight_email: 'a@b.example' }],
  ['resend_confirmation', { oversight_email: 'a@b.example' }],
  ['activate_account', { code: 'SKP-7D2-4V8' }],
])('%s belongs to the hosted service, and says how it is done here', async (tool, given) => {
  const { isError, text } = await once(api.keys.agent, tool, given);
  expect(isError).toBe(true);
  expect(text).toMatch(/^404 hosted_only: [^{]+\{\s+"hint": ".{10,}"\s+\}$/);
});

test('signing up elsewhere takes what it takes there, and is refused as the rest', async () => {
  const solution = { algorithm: 'SHA-256', challenge: 'c', number: 1, salt: 's', signature: 'x' };
  const given = {
    operator_name: 'Ana',
    oversight_email: 'ana@remote.example',
    accepted_tos: true,
    accepted_operator_agreement: true,
    accepted_anti_spam_policy: true,
    pow_solution: solution,
  };
  expect((await once(api.keys.agent, 'create_account', given)).text).toMatch(/^404 hosted_only/);
  const { pow_solution: _, ...without } = given;
  expect((await once(api.keys.agent, 'create_account', without)).text).toMatch(
    /^400 missing_field: pow_solution/,
  );
});

test('setup_multimail says in plain text how to connect', async () => {
  const { blocks, isError } = await once(api.keys.agent, 'setup_multimail');
  expect(isError).toBe(false);
  expect(blocks).toHaveLength(1);
  expect(blocks[0]).toMatch(/\/mcp.*postern key create.*POSTERN_API_KEY.*postern mailbox add/s);
});

test('an input that a tool does not take is an error, not lost', async () => {
  const misspelt = await once(api.keys.admin, 'list_mailboxes', { oversigt_mode: 'read_only' });
  expect(misspelt).toMatchObject({
    isError: true,
    text: expect.stringMatching(/^422 unknown_field: oversigt_mode/),
  });
  const missing = await once(api.keys.admin, 'delete_mailbox');
  expect(missing).toMatchObject({
    isError: true,
    text: expect.stringMatching(/^400 missing_field: mailbox_id/),
  });
});

test('what older clients say of ai_disclosure is heard, and it stays on', async () => {
  const set = (value: boolean) =>
    once(api.keys.admin, 'update_mailbox', { mailbox_id: 'agent@ours.example', ai_disclosure: value });
  expect((await set(true)).isError).toBe(false);
  expect((await set(false)).text).toMatch(/^400 ai_disclosure_locked/);
});

test('a tool that is not there names the one that is', async () => {
  await expect(once(api.keys.admin, 'manage_webhooks')).rejects.toThrow(
    /Unknown tool: manage_webhooks.*list_webhooks/,
  );
  await expect(once(api.keys.admin, 'tag_email')).rejects.toThrow(/set_tags/);
  await expect(once(api.keys.admin, 'no\n--- such')).rejects.toThrow(/Unknown tool: no---such$/);
});

test('with mcp.legacy_tools older names mean what they meant, and are not listed', async () => {
  const own = await startTestApi({ mcp: { legacy_tools: true } });
  try {
    const client = await mcpClient(own.url, own.keys.admin);
    const { tools } = await client.listTools();
    expect(tools.map(({ name }) => name)).not.toContain('check_suppression');
    const now = await callTool(client, 'list_suppression', { limit: 5 });
    expect(await callTool(client, 'check_suppression', { limit: 5 })).toEqual(now);
    const strange = await callTool(client, 'check_suppression', { mailbox: 'x' });
    expect(strange.text).toMatch(/^422 unknown_field: mailbox/);
    const wrong = await callTool(client, 'tag_email', { email_id: 'x', action: 'swap' });
    expect(wrong.text).toMatch(/^400 invalid_field: action/);
    await client.close();
  } finally {
    await own.close();
  }
});
