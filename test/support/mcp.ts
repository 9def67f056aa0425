/** MCP as its clients speak it: the official client, over HTTP or to a process of `postern mcp`. */
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const LAUNCHER = join(import.meta.dirname, '../../cli/postern.js');

/** What a tool answered: its blocks of text, and the value of the first that is JSON. */
export interface Told {
  isError: boolean;
  blocks: string[];
  /** All blocks, one below the other. */
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into as JSON
  json: any;
}

/** A client that has shaken hands. `url` is the address of the API, without `/mcp`. Close it. */
export async function mcpClient(url: string, key?: string): Promise<Client> {
  const client = new Client({ name: 'a test', version: '1' });
  const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
  await client.connect(
    new StreamableHTTPClientTransport(new URL(`${url}/mcp`), { requestInit: { headers } }),
  );
  return client;
}

/** A client of a `postern mcp` of its own, which sees these variables and no others of Postern's. Close it. */
export async function stdioClient(env: Record<string, string>): Promise<Client> {
  const client = new Client({ name: 'a test', version: '1' });
  await client.connect(
    new StdioClientTransport({ command: process.execPath, args: [LAUNCHER, 'mcp'], env, stderr: 'pipe' }),
  );
  return client;
}

/** Calls a tool and reads what it says. */
export async function callTool(
  client: Client,
  name: string,
  given: Record<string, unknown> = {},
): Promise<Told> {
  const result = await client.callTool({ name, arguments: given });
  const blocks = (result.content as { type: string; text: string }[]).map(({ text }) => text);
  return {
    isError: result.isError === true,
    blocks,
    text: blocks.join('\n'),
    json: blocks.map(parsed).find((value) => value !== undefined),
  };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
