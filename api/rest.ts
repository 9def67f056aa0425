/** Operations as REST routes: read the request, ask who calls, check, do, answer. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Authenticator } from './authentication.ts';
import { NOBODY } from './authentication.ts';
import { type Call, type Caller, type Operation, Raw } from './operation.ts';
import { type Done, perform, permit } from './perform.ts';
import { Problem } from './problem.ts';

export interface RestOptions {
  operations: readonly Operation[];
  authenticator: Authenticator;
  call: Pick<Call, 'runtime' | 'door' | 'baseUrl'>;
}

const LARGE_BYTES = 40 << 20;
const BODY_BYTES = 1 << 20;

export function mountOperations(
  app: FastifyInstance,
  { operations, authenticator, call }: RestOptions,
): void {
  const callers = new WeakMap<FastifyRequest, Caller>();
  for (const one of operations) {
    app.route({
      method: one.method,
      url: one.path,
      bodyLimit: one.large ? LARGE_BYTES : BODY_BYTES,
      config: { form: one.form === true },
      schema: documentation(one),
      // Before the body is read: nobody without a key makes us read and parse 40 MiB.
      async onRequest(request) {
        const caller = one.access === 'none' ? NOBODY : await authenticator.authenticate(request);
        permit(one, caller);
        callers.set(request, caller);
      },
      async handler(request, reply) {
        const given = givenBy(one, request);
        const done = await perform(one, given, {
          ...call,
          caller: callers.get(request)!,
          address: request.ip,
          idempotencyKey: idempotencyKeyOf(request),
          approvalCode: approvalCodeOf(request, given),
          gone: goneSignal(request, reply),
        });
        return send(done, reply);
      },
    });
  }
}

/** What the path names is what was asked for, whatever the rest says. */
function givenBy(one: Operation, request: FastifyRequest): Record<string, unknown> {
  const sent = one.method === 'GET' ? request.query : request.body;
  return { ...(sent as object | undefined), ...(request.params as object) };
}

function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key'];
  if (typeof key !== 'string') return undefined;
  if (/^[ -~]{1,200}$/.test(key)) return key;
  throw new Problem(400, 'invalid_field', 'Idempotency-Key: must be 1 to 200 printable characters.');
}

function approvalCodeOf({ headers }: FastifyRequest, given: Record<string, unknown>): string | undefined {
  const code = given.approval_code ?? headers['x-approval-code'];
  return typeof code === 'string' && code !== '' && code.length <= 16 ? code : undefined;
}

/** Ends when the connection closes before the answer was sent. */
function goneSignal(_request: FastifyRequest, reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => controller.abort());
  return controller.signal;
}

function send({ status, headers, body }: Done, reply: FastifyReply): FastifyReply {
  reply.code(status).headers(headers);
  if (body instanceof Raw)
    return reply.send(Buffer.isBuffer(body.body) ? body.body : Readable.from(body.body));
  return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}

/** What OpenAPI says of an operation; requests are read by `readInput`, which knows the same definition. */
function documentation(one: Operation): Record<string, unknown> {
  const names = [...one.path.matchAll(/:(\w+)/g)].map((match) => match[1]!);
  const shape = one.input.shape as Record<string, z.ZodType>;
  const params = Object.fromEntries(names.map((name) => [name, shape[name] ?? z.string()]));
  const rest = Object.fromEntries(Object.entries(shape).filter(([name]) => !names.includes(name)));
  const where = one.method === 'GET' ? 'querystring' : 'body';
  return {
    operationId: one.name,
    summary: one.summary,
    tags: [one.area],
    ...(one.access !== 'none' && { security: [{ bearer: [] }, { apiKey: [] }] }),
    ...(names.length > 0 && { params: z.object(params) }),
    ...(Object.keys(rest).length > 0 && { [where]: z.object(rest) }),
    ...(one.output !== 'raw' && { response: { [one.status ?? 200]: one.output } }),
  };
}
