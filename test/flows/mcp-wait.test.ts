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

const AT_ONCE = 8;

/** A wait for mail as it goes over the wire, on a connection of its own that its caller can close. */
function waiting(key: string, seconds: number, accept = 'application/json') {
  const given = { name: 'wait_for_email', arguments: { timeout_seconds: seconds } };
  const asked = request(`${api.url}/mcp`, {
    method: 'POST',
    agent: false,
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json', accept },
  });
  const reply = new Promise<{ type: string | undefined; body: string }>((resolve, reject) => {
    asked.once('error', reject);
    asked.once('response', async (response) =>
      resolve({ type: response.headers['content-type'], body: await text(response) }),
    );
  });
  asked.end(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: given }));
  return { reply, leave: () => asked.destroy() };
}

test('an answer that takes a while comes as a stream, and one that found nothing has no warning', async () => {
  const { reply } = waiting(api.keys.agent, 5, 'application/json, text/event-stream');
  const { type, body } = await reply;
  expect(type).toBe('text/event-stream');
  const data = body.split('\n').filter((line) => line.startsWith('data: '));
  const { result } = JSON.parse(data.at(-1)!.slice(6));
  expect(result.content).toHaveLength(1);
  expect(JSON.parse(result.content[0].text)).toMatchObject({ found: false, timeout: true });
});

test('K-04: a key waits so many times at once, and a caller that goes away waits no longer', async () => {
  const { apiKey } = await api.key({ scopes: ['read'] });
  const waits = Array.from({ length: AT_ONCE }, () => waiting(apiKey, 120));
  const ends = waits.map(({ reply }) => reply.catch((err: Error) => err.message));
  const client = await mcpClient(api.url, apiKey);
  // One more is refused as soon as the others have begun.
  await expect
    .poll(async () => (await callTool(client, 'wait_for_email', { timeout_seconds: 5 })).text, {
      timeout: 20_000,
      interval: 1,
    })
    .toMatch(/^429 rate_limited/);
  // Another key is not kept waiting by this one, and everything else is answered as ever.
  expect((await callTool(client, 'list_mailboxes')).isError).toBe(false);
  for (const { leave } of waits) leave();
  expect(await Promise.all(ends)).toEqual(Array(AT_ONCE).fill('socket hang up'));
  await expect
    .poll(async () => (await callTool(client, 'wait_for_email', { timeout_seconds: 5 })).text, {
      timeout: 20_000,
      interval: 1,
    })
    .toMatch(/"found": false/);
  await client.close();
}, 60_000);

test('a filter that does not exist is refused, so that nobody waits for what it would not have let by', async () => {
  const client = await mcpClient(api.url, api.keys.agent);
  const told = await callTool(client, 'wait_for_email', { timeout_seconds: 5, filter: { subject: 'Hi' } });
  await client.close();
  expect(told.isError).toBe(true);
  expect(told.text).toMatch(/^422 unknown_field: filter\.subject/);
});
