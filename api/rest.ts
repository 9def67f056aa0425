/** Operations as REST routes: read the request, ask who calls, check, do, answer. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Authenticator } from './authentication.ts';
import { requireScope } from './authentication.ts';
import { faultsOf } from './faults.ts';
import { Answer, type Call, type Operation, Raw } from './operation.ts';
import { Problem } from './problem.ts';

export interface RestOptions {
  operations: readonly Operation[];
  authenticator: Authenticator;
  call: Pick<Call, 'runtime' | 'door'>;
}

const SEND_BYTES = 40 << 20;
const BODY_BYTES = 1 << 20;

export function mountOperations(
  app: FastifyInstance,
  { operations, authenticator, call }: RestOptions,
): void {
  for (const one of operations) {
    app.route({
      method: one.method,
      url: one.path,
      bodyLimit: one.name === 'send_email' ? SEND_BYTES : BODY_BYTES,
      schema: documentation(one),
      async handler(request, reply) {
        const caller = await authenticator.authenticate(request);
        requireScope(caller, one.access);
        const input = readInput(one, request);
        const answer = await one.handle(input, {
          ...call,
          caller,
          address: request.ip,
          idempotencyKey: idempotencyKeyOf(request),
        });
        return send(one, answer, reply);
      },
    });
  }
}

function readInput(one: Operation, request: FastifyRequest): Record<string, unknown> {
  const sent = one.method === 'GET' ? request.query : request.body;
  // path members last: what the path names is what was asked for
  const given = { ...(sent as object | undefined), ...(request.params as object) };
  const schema = one.strict ? one.input.strict() : one.input;
  const parsed = schema.safeParse(given, { reportInput: true });
  if (!parsed.success) throw faultsOf(parsed.error);
  return parsed.data as Record<string, unknown>;
}

function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key'];
  if (typeof key !== 'string') return undefined;
  if (/^[ -~]{1,200}$/.test(key)) return key;
  throw new Problem(400, 'invalid_field', 'Idempotency-Key: must be 1 to 200 printable characters.');
}

function send(one: Operation, answer: unknown, reply: FastifyReply): FastifyReply {
  if (answer instanceof Raw) {
    reply.code(one.status ?? 200).headers(answer.headers);
    return reply.send(Buffer.isBuffer(answer.body) ? answer.body : Readable.from(answer.body));
  }
  const { status, body } = answer instanceof Answer ? answer : { status: one.status ?? 200, body: answer };
  // Parsed on the way out as well: a member that the definition does not name is not told.
  const told = one.output === 'raw' ? body : one.output.parse(body);
  return reply
    .code(status)
    .header('content-type', 'application/json; charset=utf-8')
    .send(JSON.stringify(told));
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
