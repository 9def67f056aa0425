/** Operations as REST routes: read the request, ask who calls, check, do, answer. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { Authenticator } from './authentication.ts';
import { requireScope, requireWhole } from './authentication.ts';
import { faultsOf } from './faults.ts';
import { Answer, type Call, type Caller, type Operation, Raw } from './operation.ts';
import { invalid, Problem } from './problem.ts';

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
  const callers = new WeakMap<FastifyRequest, Caller>();
  for (const one of operations) {
    app.route({
      method: one.method,
      url: one.path,
      bodyLimit: one.name === 'send_email' ? SEND_BYTES : BODY_BYTES,
      schema: documentation(one),
      // Before the body is read: nobody without a key makes us read and parse 40 MiB.
      async onRequest(request) {
        const caller = await authenticator.authenticate(request);
        requireScope(caller, one.access);
        if (one.confined !== true) requireWhole(caller);
        callers.set(request, caller);
      },
      async handler(request, reply) {
        const input = readInput(one, request);
        const answer = await one.handle(input, {
          ...call,
          caller: callers.get(request)!,
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
  const nul = nulIn(parsed.data, []);
  if (nul !== undefined)
    throw invalid(400, 'invalid_field', [{ field: nul.join('.'), message: 'must not hold NUL' }]);
  return parsed.data as Record<string, unknown>;
}

/** Where a text of the input holds NUL, which PostgreSQL has no way to store or compare. */
function nulIn(value: unknown, path: string[]): string[] | undefined {
  if (typeof value === 'string') return value.includes('\0') ? path : undefined;
  if (typeof value !== 'object' || value === null) return undefined;
  for (const [name, child] of Object.entries(value)) {
    const found = nulIn(child, [...path, name]);
    if (found !== undefined) return found;
  }
  return undefined;
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
