import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';
import { callTool, mcpClient, stdioClient } from '../support/mcp.ts';

const LAUNCHER = join(import.meta.dirname, '../../cli/postern.js');

let api: TestApi;

beforeAll(async () => {
  api = await startTestApi();
  await api.mailbox('first@ours.example', 'gated_send');
  await api.mailbox('second@ours.example', 'gated_send');
});

afterAll(async () => {
  await api.close();
});

type Client = Awaited<ReturnType<typeof stdioClient>>;

async function withClient<T>(env: Record<string, string>, work: (client: Client) => Promise<T>): Promise<T> {
  const client = await stdioClient(env);
  try {
    return await work(client);
  } finally {
    await client.close();
  }
}

const names = async (client: Client) => (await client.listTools()).tools.map(({ name }) => name);

test('without a key there is how to connect and how one signs up elsewhere, and no more', async () => {
  await withClient({ POSTERN_URL: api.url }, async (client) => {
    expect(client.getServerVersion()?.name).toBe('postern');
    expect((await names(client)).sort()).toEqual([
      'activate_account',
      'create_account',
      'request_challenge',
      'resend_confirmation',
      'setup_multimail',
    ]);
    const setup = await callTool(client, 'setup_multimail');
    expect(setup.text).toContain('This client has no key yet');
    expect(setup.text).toContain(`${api.url}/mcp`);
    const hosted = await callTool(client, 'activate_account', { code: 'SKP-7D2-4V8' });
    expect(hosted).toMatchObject({ isError: true, text: expect.stringMatching(/^404 hosted_only/) });
    const refused = await callTool(client, 'list_mailboxes');
    expect(refused).toMatchObject({ isError: true, text: expect.stringMatching(/^401 missing_credentials/) });
  });
});

test.each([
  ['POSTERN_URL', 'POSTERN_API_KEY', 'POSTERN_MAILBOX_ID'],
  ['MULTIMAIL_API_URL', 'MULTIMAIL_API_KEY', 'MULTIMAIL_MAILBOX_ID'],
])(
  'with %s, %s and %s the tools are those of the key, and calls mean that mailbox',
  async (url, key, mailbox) => {
    const env = { [url]: `${api.url}/`, [key]: api.keys.agent, [mailbox]: 'second@ours.example' };
    await withClient(env, async (client) => {
      const remote = await mcpClient(api.url, api.keys.agent);
      expect(await names(client)).toEqual(await names(remote));
      await remote.close();
      const inbox = await callTool(client, 'check_inbox', { direction: 'inbound' });
      expect(inbox).toMatchObject({ isError: false, json: { emails: [], cursor: null } });
      expect(inbox.blocks.at(-1)).toMatch(/^--- UNTRUSTED FIELDS WARNING ---/);
    });
  },
);

test('the same call is told in the same words, over HTTP and over standard input', async () => {
  const remote = await mcpClient(api.url, api.keys.admin);
  await withClient({ POSTERN_URL: api.url, POSTERN_API_KEY: api.keys.admin }, async (client) => {
    for (const [tool, given] of [
      ['list_mailboxes', {}],
      ['list_suppression', { limit: 5 }],
      ['delete_contact', { contact_id: '01JAAAAAAAAAAAAAAAAAAAAAAA' }],
      ['get_tags', { email_id: '01JAAAAAAAAAAAAAAAAAAAAAAA', mailbox_id: 'first@ours.example' }],
      ['check_inbox', {}],
      ['check_inbox', { mailbox_id: 'first@ours.example', limit: 3 }],
      ['delete_mailbox', {}],
      ['update_mailbox', { mailbox_id: 'first@ours.example', nonsense: 1 }],
    ] as const)
      expect([tool, await callTool(client, tool, given)]).toEqual([
        tool,
        await callTool(remote, tool, given),
      ]);
  });
  await remote.close();
});

test('a message is sent, tagged, read and taken back, its mailbox being named once or never', async () => {
  const env = { POSTERN_URL: api.url, POSTERN_API_KEY: api.keys.agent };
  await withClient(env, async (client) => {
    const sent = await callTool(client, 'send_email', {
      to: ['ana@remote.example'],
      subject: 'Hello',
      markdown: 'It is *done*.',
      tags: { project: 'x' },
      mailbox_id: 'first@ours.example',
    });
    expect(sent.json).toMatchObject({ status: 'pending_scan' });
    const email_id = sent.json.id;
    await api.until(email_id, 'pending_send_approval');
    const tagged = await callTool(client, 'set_tags', { email_id, tags: { step: 'two' } });
    expect(tagged.isError).toBe(false);
    expect((await callTool(client, 'delete_tag', { email_id, key: 'project' })).isError).toBe(false);
    expect((await callTool(client, 'get_tags', { email_id })).json.tags).toEqual({ step: 'two' });
    const read = await callTool(client, 'read_email', { email_id });
    expect(read.blocks).toHaveLength(2);
    expect(read.blocks[1]).toMatch(/BEGIN UNTRUSTED EMAIL BODY \w+ ---\nIt is \*done\*\.\n/);
    const pending = await callTool(client, 'list_pending');
    expect(pending.json.emails).toMatchObject([{ id: email_id }]);
    expect(pending.blocks).toHaveLength(3);
    expect((await callTool(client, 'cancel_message', { email_id })).isError).toBe(false);
    expect((await callTool(client, 'read_email', { email_id })).json.status).toBe('cancelled');
  });
});

test('a key that has asked too often is told for how long to wait', async () => {
  const own = await startTestApi({ limits: { requests_per_key_minute: 1 } });
  try {
    await withClient({ POSTERN_URL: own.url, POSTERN_API_KEY: own.keys.agent }, async (client) => {
      await callTool(client, 'list_mailboxes');
      const stopped = await callTool(client, 'list_mailboxes');
      expect(stopped.text).toMatch(/^429 rate_limited[^{]*\{\s+"retry_after_seconds": \d+\s+\}$/);
    });
  } finally {
    await own.close();
  }
});

test('a Postern that is not there is an answer, and no crash', async () => {
  await withClient({ POSTERN_URL: 'http://127.0.0.1:9', POSTERN_API_KEY: api.keys.agent }, async (client) => {
    expect(await names(client)).toContain('setup_multimail');
    const failed = await callTool(client, 'list_mailboxes');
    expect(failed).toMatchObject({
      isError: true,
      text: expect.stringMatching(/^503 unavailable.*127\.0\.0\.1:9/),
    });
  });
});

test('nothing but protocol is written, a line for each answer, and the end of the input is the end', async () => {
  const child = spawn(process.execPath, [LAUNCHER, 'mcp'], {
    env: { POSTERN_URL: api.url, POSTERN_API_KEY: api.keys.agent },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const said = text(child.stdout);
  child.stdin.end(
    [
      '{"jsonrpc":"2.0","id":"a","method":"ping"}',
      'nonsense',
      '',
      '{"jsonrpc":"2.0","method":"notifications/initialized"}',
      '{"jsonrpc":"2.0","id":"b","method":"server/discover","params":{"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}}}',
      '{"jsonrpc":"2.0","id":"c","method":"tools/call","params":{"name":"list_mailboxes"}}\n',
    ].join('\n'),
  );
  const lines = (await said)
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines.every(({ jsonrpc }) => jsonrpc === '2.0')).toBe(true);
  expect(lines.find(({ id }) => id === 'a')).toMatchObject({ result: {} });
  expect(lines.find(({ id }) => id === null)).toMatchObject({ error: { code: -32700 } });
  expect(lines.find(({ id }) => id === 'b').result.supportedVersions).toContain('2026-07-28');
  expect(lines.find(({ id }) => id === 'c').result.content[0].text).toContain('first@ours.example');
  expect(lines).toHaveLength(4);
});
