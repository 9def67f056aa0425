/**
 * MCP over standard input and output, for clients that start a program: one message a line. The tools are those of
 * the registry; what they do is asked of a Postern by REST. Nothing but protocol is ever written to the output.
 */
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { Operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { OPERATIONS } from '../registry.ts';
import { toolsOf } from './calls.ts';
import { HOSTED } from './hosted.ts';
import { INFO, INSTRUCTIONS } from './identity.ts';
import { nudger } from './nudge.ts';
import {
  answer,
  beats,
  CODES,
  Fault,
  faultAnswer,
  type Id,
  isObject,
  read,
  type Server,
} from './protocol.ts';
import { ask, invokeRemotely, type Remote } from './remote.ts';
import { setupText } from './setup.ts';
import { type ToolBox, toolBox } from './tools.ts';

export interface StdioOptions {
  /** Where Postern is, without a slash at the end. */
  url: string;
  /** Without one, only the tools that need none are there. */
  key: string | undefined;
  mailbox: string | undefined;
  /** Older names of tools are answered as well. */
  older: boolean;
  input: Readable;
  output: Writable;
}

/** How long calls under way may take when the input has ended. */
const LAST_MS = 2000;

/** Serves until the input ends. */
export async function serveStdio(options: StdioOptions): Promise<void> {
  const server = serverOf(options);
  const say = (message: object) => options.output.write(`${JSON.stringify(message)}\n`);
  const underWay = new Map<Id, AbortController>();
  const pending = new Set<Promise<void>>();
  const lines = createInterface({ input: options.input, crlfDelay: Number.POSITIVE_INFINITY });
  for await (const line of lines) {
    if (line.trim() === '') continue;
    const value = parsed(line);
    const message = read(value);
    if (value === undefined) say(faultAnswer(null, new Fault(CODES.parse, 'Not JSON.')).message);
    else if (message.kind === 'invalid')
      say(faultAnswer(message.id, new Fault(CODES.invalidRequest, 'Not a JSON-RPC request.')).message);
    if (message.kind === 'notification' && message.method === 'notifications/cancelled')
      underWay.get(message.params.requestId as Id)?.abort();
    if (message.kind !== 'request') continue;
    const { request } = message;
    const controller = new AbortController();
    underWay.set(request.id, controller);
    const answering = answer(request, server, { gone: controller.signal });
    const run = (async () => {
      for await (const said of beats(request, answering))
        if (said !== undefined && !controller.signal.aborted) say(said);
    })().finally(() => {
      underWay.delete(request.id);
      pending.delete(run);
    });
    pending.add(run);
  }
  const last = setTimeout(() => {
    for (const controller of underWay.values()) controller.abort();
  }, LAST_MS);
  await Promise.allSettled(pending);
  clearTimeout(last);
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}

function serverOf({ url, key, mailbox, older }: StdioOptions): Server {
  const box = toolBox({ operations: OPERATIONS, older });
  const remote = key === undefined ? undefined : { url, key, mailbox };
  const isHosted = (one: Operation) => HOSTED.some(({ name }) => name === one.name);
  return {
    info: INFO,
    instructions: INSTRUCTIONS,
    tools: toolsOf({
      box,
      operations: OPERATIONS,
      // Once a process and mailbox.
      nudger: nudger(Number.POSITIVE_INFINITY),
      nudged: '',
      list: remote === undefined ? () => box.open : listOf(box, remote),
      async invoke(one, given, gone) {
        if (one.name === 'setup_multimail')
          return {
            status: 200,
            body: { text: setupText({ baseUrl: url, client: key === undefined ? 'keyless' : 'connected' }) },
          };
        // What is nowhere but with the hosted service needs neither a key nor anybody to ask.
        if (isHosted(one)) return one.handle(given, undefined as never) as Promise<never>;
        if (remote === undefined) throw noKey();
        return invokeRemotely(remote, one, given, gone);
      },
      problemOf: (err) =>
        new Problem(500, 'internal_error', err instanceof Error ? err.message : String(err)),
    }),
  };
}

function noKey(): Problem {
  return new Problem(
    401,
    'missing_credentials',
    'There is no API key: set POSTERN_API_KEY and start this client again. setup_multimail says how to get one.',
  );
}

const FRESH_MS = 300_000;

/** The tools that the key has: which they are is asked of the Postern that knows the key, and kept for a while. */
function listOf(box: ToolBox, remote: Remote): () => Promise<readonly object[]> {
  let known: { list: readonly object[]; until: number } | undefined;
  return async () => {
    if (known !== undefined && known.until > Date.now()) return known.list;
    const names = await namesOf(remote);
    const list = names === undefined ? box.open : box.named(names);
    if (names !== undefined) known = { list, until: Date.now() + FRESH_MS };
    return list;
  };
}

async function namesOf(remote: Remote): Promise<Set<unknown> | undefined> {
  const call = { jsonrpc: '2.0', id: 1, method: 'tools/list' };
  try {
    const { body } = await ask(remote, 'POST', '/mcp', call, AbortSignal.timeout(10_000));
    const result = isObject(body) ? body.result : undefined;
    const tools = isObject(result) && Array.isArray(result.tools) ? result.tools.filter(isObject) : undefined;
    return tools === undefined ? undefined : new Set(tools.map(({ name }) => name));
  } catch {
    return undefined;
  }
}
