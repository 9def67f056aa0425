/** Operations as REST routes: ask who calls, read the request, do, answer. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Authenticator } from '../access/authentication.ts';
import { NOBODY } from '../access/authentication.ts';
import { conflict, filled, type Given } from '../dialects/fields.ts';
import { hostedOnly, hostedPaths } from '../dialects/hosted.ts';
import { type Call, type Caller, type Operation, Raw } from '../operation.ts';
import { type Done, perform, permit } from '../perform.ts';
import { notFound, Problem } from '../problem.ts';
import { type Route, routeKey, routesOf } from './routes.ts';

export interface RestOptions {
  operations: readonly Operation[];
  authenticator: Authenticator;
  call: Pick<Call, 'runtime' | 'door' | 'baseUrl'>;
}

const LARGE_BYTES = 40 << 20;
const BODY_BYTES = 1 << 20;

export function mountOperations(app: FastifyInstance, options: RestOptions): void {
  const routes = routesOf(options.operations);
  for (const route of routes) mount(app, route, options);
  const taken = new Set(routes.map(({ method, path }) => routeKey(method, path)));
  for (const { methods, path, hint } of hostedPaths())
    for (const method of methods.filter((one) => !taken.has(routeKey(one, path))))
      app.route({
        method,
        url: path,
        config: { hosted: true },
        // Before the body is read, which may be anything.
        onRequest: (_request, _reply, done) => done(hostedOnly(hint)),
        handler: () => {},
      });
}

function mount(app: FastifyInstance, route: Route, { authenticator, call }: RestOptions): void {
  const callers = new WeakMap<FastifyRequest, Caller>();
  const { one } = route;
  app.route({
    method: route.method,
    url: route.path,
    bodyLimit: one.large ? LARGE_BYTES : BODY_BYTES,
    config: { form: one.form === true },
    // Before the body is read: nobody without a key makes us read and parse 40 MiB.
    async onRequest(request) {
      const caller = one.access === 'none' ? NOBODY : await authenticator.authenticate(request);
      permit(one, caller);
      callers.set(request, caller);
    },
    async handler(request, reply) {
      const given = givenBy(route, request);
      const made: Call = {
        ...call,
        caller: callers.get(request)!,
        address: request.ip,
        idempotencyKey: route.method === 'POST' ? idempotencyKeyOf(request) : undefined,
        approvalCode: approvalCodeOf(request, given),
        gone: goneSignal(reply),
      };
      const done = await perform(one, given, made);
      return send(await inDialect(route, done, given, made), reply);
    },
  });
}

/** What a request gives to the operation. A path and a body that name different things are told apart by no one. */
function givenBy({ method, dialect }: Route, request: FastifyRequest): Given {
  const sent = method === 'GET' ? filled(request.query as Given) : { ...(request.body as Given | undefined) };
  const given = dialect?.defaults?.(sent) ?? sent;
  for (const [name, value] of Object.entries(request.params as Record<string, string>)) {
    // No id holds it, and the store cannot even be asked.
    if (value.includes('\0')) throw notFound();
    if (given[name] !== undefined && given[name] !== value) {
      // A mailbox has two names, which may both be meant: perform finds out.
      if (name !== 'mailbox_id' || given.mailbox !== undefined) throw conflict(name);
      given.mailbox = given[name];
    }
    given[name] = value;
  }
  return given;
}

async function inDialect({ dialect }: Route, done: Done, given: Given, call: Call): Promise<Done> {
  if (dialect?.answer === undefined || done.status >= 300 || done.body instanceof Raw) return done;
  return { ...done, body: await dialect.answer(done.body as Given, given, call) };
}

function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key'];
  if (key === undefined) return undefined;
  if (typeof key === 'string' && /^[ -~]{1,200}$/.test(key)) return key;
  throw new Problem(400, 'invalid_field', 'Idempotency-Key: must be 1 to 200 printable characters.');
}

function approvalCodeOf({ headers }: FastifyRequest, given: Given): string | undefined {
  const code = given.approval_code ?? headers['x-approval-code'];
  return typeof code === 'string' && code !== '' && code.length <= 16 ? code : undefined;
}

/** Ends when the connection closes before the answer was sent. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  // What has been answered has nothing to end, and ending costs an error with its stack.
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}

function send({ status, headers, body }: Done, reply: FastifyReply): FastifyReply {
  reply.code(status).headers(headers);
  if (body instanceof Raw)
    return reply.send(Buffer.isBuffer(body.body) ? body.body : Readable.from(body.body));
  return reply.header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body));
}
