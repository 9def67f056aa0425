/**
 * Calls any operation of the registry with the same input by REST and by MCP, the way a client would: over HTTP,
 * with the code that a person was mailed where the first answer asks for one.
 */
import type { Client } from '@modelcontextprotocol/sdk/client/index.js';
import type { Operation } from '../../api/operation.ts';
import type { TestApi } from './api.ts';

export type Input = Record<string, unknown>;

/** What an interface said: the REST status, or the one that a tool's error begins with. */
export interface Said {
  status: number;
  code: string | null;
  /** All of it, as text. */
  text: string;
  // biome-ignore lint/suspicious/noExplicitAny: answers are looked into as JSON
  json: any;
}

export async function byRest(api: TestApi, one: Operation, input: Input, key?: string): Promise<Said> {
  const { url, rest } = split(one, input);
  const reply =
    one.method === 'GET'
      ? await api.call('GET', `${url}${query(rest)}`, { key })
      : await api.call(one.method, url, { key, body: rest });
  return { status: reply.status, code: reply.json?.code ?? null, text: reply.text, json: reply.json };
}

export async function byMcp(client: Client, one: Operation, input: Input): Promise<Said> {
  const takes = [...one.tool!.takes, 'mailbox_id', 'approval_code'];
  const given = Object.fromEntries(Object.entries(input).filter(([name]) => takes.includes(name)));
  const result = await client.callTool({ name: one.name, arguments: given });
  const texts = (result.content as { type: string; text: string }[]).map(({ text }) => text);
  const text = texts.join('\n');
  if (result.isError !== true) {
    const json = texts.map(parsed).find((value) => value !== undefined);
    return {
      status: json?.status === 'pending_approval' && 'masked_email' in json ? 202 : 200,
      code: null,
      text,
      json,
    };
  }
  const [, status, code] = /^(\d{3}) (\w+)/.exec(text) ?? [];
  return { status: Number(status ?? 0), code: code ?? null, text, json: undefined };
}

/** The same call again with the code from the mail, where the first was answered by "a person has to confirm". */
export async function withCode(
  api: TestApi,
  ask: (input: Input) => Promise<Said>,
  input: Input,
): Promise<Said> {
  const first = await ask(input);
  if (first.status !== 202 || first.json?.masked_email === undefined || first.json?.operation === undefined)
    return first;
  return ask({ ...input, approval_code: await api.code() });
}

function split({ path }: Operation, input: Input): { url: string; rest: Input } {
  const rest = { ...input };
  const url = path.replace(/:(\w+)/g, (_, name: string) => {
    const value = String(rest[name]);
    delete rest[name];
    return encodeURIComponent(value);
  });
  return { url, rest };
}

function query(rest: Input): string {
  const pairs = Object.entries(rest).flatMap(([name, value]) =>
    [value].flat().map((one) => [name, String(one)] as [string, string]),
  );
  return pairs.length > 0 ? `?${new URLSearchParams(pairs)}` : '';
}

// biome-ignore lint/suspicious/noExplicitAny: the same
function parsed(text: string): any {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
