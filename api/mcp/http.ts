/**
 * `/mcp`: streamable HTTP, without sessions. Each POST is one message with a key of its own, and gets one answer: as
 * JSON, or, when it takes a while and the client reads streams, as a stream that ends with it. A browser's page of
 * another origin gets nothing, key or not.
 */
import { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../access/authentication.ts';
import type { Call, Caller, Operation } from '../operation.ts';
import { perform } from '../perform.ts';
import { Problem, toProblem } from '../problem.ts';
import { toolsOf } from './calls.ts';
import { checkHeaders } from './headers.ts';
import { INFO, INSTRUCTIONS } from './identity.ts';
import { nudger } from './nudge.ts';
import {
  type Answer,
  answer,
  beats,
  CODES,
  Fault,
  faultAnswer,
  type Request,
  read,
  type Server,
} from './protocol.ts';
import { toolBox } from './tools.ts';

export interface McpOptions {
  operations: readonly Operation[];
  authenticator: Authenticator;
  call: Pick<Call, 'runtime' | 'door' | 'baseUrl'>;
}

/** As much as the largest operation takes by REST. */
const BODY_BYTES = 40 << 20;
const HOUR_MS = 3_600_000;
/** From when on an answer is streamed. */
const SLOW_MS = 3000;

export function mountMcp(app: FastifyInstance, { operations, authenticator, call }: McpOptions): void {
  const { mcp } = call.runtime.config;
  const box = toolBox({ operations, listAll: mcp.list_all_tools, older: mcp.legacy_tools });
  const nudges = nudger(HOUR_MS);
  const callers = new WeakMap<FastifyRequest, Caller>();
  const closing = new AbortController();
  app.addHook('preClose', async () => closing.abort());

  const serverFor = (caller: Caller, address: string): Server => ({
    info: INFO,
    instructions: INSTRUCTIONS,
    tools: toolsOf({
      box,
      operations,
      nudger: nudges,
      nudged: caller.key.id,
      list: () => box.listed(caller.key.scopes),
      invoke: (one, given, gone) =>
        perform(one, given, {
          ...call,
          caller,
          address,
          idempotencyKey: undefined,
          approvalCode: typeof given.approval_code === 'string' ? given.approval_code : undefined,
          gone,
        }),
      problemOf(err) {
        const problem = toProblem(err);
        if (problem.status >= 500) call.runtime.log.error({ err, route: '/mcp' }, 'a tool failed');
        return problem;
      },
    }),
  });

  app.route({
    method: 'POST',
    url: '/mcp',
    schema: { hide: true } as object,
    bodyLimit: BODY_BYTES,
    // Before the body is read, as for every other path.
    async onRequest(request) {
      checkOrigin(request, call.baseUrl);
      callers.set(request, await authenticator.authenticate(request));
    },
    async handler(request, reply) {
      const message = read(request.body);
      if (message.kind === 'notification' || message.kind === 'response') return reply.code(202).send();
      if (message.kind === 'invalid')
        return sendJson(
          reply,
          faultAnswer(
            message.id,
            new Fault(CODES.invalidRequest, 'Not a JSON-RPC request.', { status: 400 }),
          ),
        );
      const accepts = acceptedBy(request);
      const refusal = checkHeaders(message.request, request.headers);
      if (refusal !== undefined) return sendJson(reply, faultAnswer(message.request.id, refusal));
      const version = request.headers['mcp-protocol-version'] as string | undefined;
      const server = serverFor(callers.get(request)!, request.ip);
      const gone = AbortSignal.any([goneSignal(reply), closing.signal]);
      const answering = answer(message.request, server, { gone, version });
      if (!accepts.stream) return sendJson(reply, await answering);
      const quick = accepts.json ? await soon(answering) : undefined;
      return quick !== undefined ? sendJson(reply, quick) : sendStream(reply, message.request, answering);
    },
  });
}

/** A page may call the API of its own origin; programs that are no browser send none. */
function checkOrigin({ headers }: FastifyRequest, baseUrl: string): void {
  const { origin, host } = headers;
  if (origin === undefined) return;
  if (origin === `http://${host}` || origin === `https://${host}` || origin === new URL(baseUrl).origin)
    return;
  throw new Problem(403, 'foreign_origin', 'A page of another origin may not speak to this gateway.');
}

/** What the client reads; without a word about it, JSON. */
function acceptedBy({ headers }: FastifyRequest): { json: boolean; stream: boolean } {
  const accept = headers.accept ?? 'application/json';
  const json = /application\/(json|\*)|\*\/\*/i.test(accept);
  const stream = /text\/event-stream/i.test(accept);
  if (!json && !stream)
    throw new Problem(406, 'not_acceptable', 'Accept application/json, text/event-stream, or both.');
  return { json, stream };
}

function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return controller.signal;
}

async function soon(answering: Promise<Answer>): Promise<Answer | undefined> {
  const timer = new AbortController();
  const late = pause(SLOW_MS, undefined, { signal: timer.signal }).catch(() => undefined);
  try {
    return await Promise.race([answering, late]);
  } finally {
    timer.abort();
  }
}

function sendJson(reply: FastifyReply, { status, message }: Answer): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(message));
}

function sendStream(reply: FastifyReply, request: Request, answering: Promise<Answer>): FastifyReply {
  return reply
    .header('content-type', 'text/event-stream')
    .header('cache-control', 'no-cache, no-transform')
    .header('x-accel-buffering', 'no')
    .send(Readable.from(events(request, answering)));
}

async function* events(request: Request, answering: Promise<Answer>): AsyncGenerator<string> {
  yield QUIET;
  for await (const said of beats(request, answering)) yield said === undefined ? QUIET : event(said);
}

/** A comment: it says that the stream lives. */
const QUIET = ': waiting\n\n';

function event(message: object): string {
  return `event: message\ndata: ${JSON.stringify(message)}\n\n`;
}
