/** The HTTP server without its operations: what every request and every answer goes through. */
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance } from 'fastify';
import { jsonSchemaTransform } from 'fastify-type-provider-zod';
import type { Runtime } from '../core/runtime/runtime.ts';
import { hostCheck } from './hosts.ts';
import { Problem, sendProblem } from './problem.ts';

const HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

export async function buildServer({ config, log }: Runtime): Promise<FastifyInstance> {
  const app = fastify({
    // Our own log line is enough; Fastify's would hold headers and addresses.
    logger: false,
    bodyLimit: 1 << 20,
    requestTimeout: 60_000,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 400 },
    exposeHeadRoutes: true,
    // An attacker's __proto__ is data like any other: refused while it is read.
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    // Paths that cannot be decoded come to no handler; Fastify's own answer would repeat them.
    frameworkErrors: (err, request, reply) => sendProblem(err, request, reply.headers(HEADERS), log),
  });
  app.setErrorHandler((err, request, reply) => sendProblem(err, request, reply, log));
  app.setNotFoundHandler((request, reply) => {
    sendProblem(wrongRoute(app, request.method, request.url), request, reply, log);
  });
  app.setValidatorCompiler(() => (value) => ({ value })); // rest.ts reads and checks requests
  app.setSerializerCompiler(() => (value) => JSON.stringify(value));

  const known = hostCheck(config);
  app.addHook('onRequest', async (request, reply) => {
    reply.headers(HEADERS);
    if (!request.url.startsWith('/healthz/') && !known(request.headers.host))
      throw new Problem(
        403,
        'unknown_host',
        'This gateway does not answer to this host name (http.public_url sets it).',
      );
    if (request.headers['content-encoding'] !== undefined)
      throw new Problem(415, 'unsupported_media_type', 'Compressed requests are not accepted.');
  });
  readJson(app);
  readForms(app);
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Postern',
        version: '1',
        description: 'Mail that programs send and people keep the say over.',
      },
      components: {
        securitySchemes: {
          bearer: { type: 'http', scheme: 'bearer' },
          apiKey: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
        },
      },
    },
    transform: jsonSchemaTransform,
  });
  app.get('/v1/openapi.json', { schema: { hide: true } as object }, () => app.swagger());
  return app;
}

/** Any JSON type or none; no body at all counts as an empty object, also where a client says it sends JSON. */
function readJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser(
    /^(application\/([a-z0-9.-]+\+)?json)(;|$)/i,
    { parseAs: 'string' },
    (request, body, done) => {
      const text = (body as string).trim();
      if (text === '') return done(null, {});
      app.getDefaultJsonParser('error', 'error')(request, text, (err, value) => {
        if (err) return done(new Problem(400, 'bad_request', 'The body is not valid JSON.'));
        if (typeof value !== 'object' || value === null || Array.isArray(value))
          return done(new Problem(400, 'bad_request', 'The body must be a JSON object.'));
        if (isOverfull(value)) return done(new Problem(413, 'too_large', 'The body holds too many values.'));
        done(null, value);
      });
    },
  );
}

/** Forms, for the operations that say so. Of multipart ones (RFC 8058 §3.1) it counts that they came, not what they say. */
function readForms(app: FastifyInstance): void {
  app.addContentTypeParser(
    /^(application\/x-www-form-urlencoded|multipart\/form-data)(;|$)/i,
    { parseAs: 'string' },
    (request, body, done) => {
      if ((request.routeOptions.config as { form?: boolean }).form !== true)
        return done(new Problem(415, 'unsupported_media_type', 'Send the body as application/json.'));
      const isMultipart = /^multipart/i.test(request.headers['content-type']!);
      done(null, isMultipart ? {} : Object.fromEntries(new URLSearchParams(body as string)));
    },
  );
}

const MOST_VALUES = 10_000;

/** Whether a body holds more values than any request needs: each would be checked, and complained of, by itself. */
function isOverfull(body: object): boolean {
  const open: object[] = [body];
  let seen = 0;
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    const values: unknown[] = Array.isArray(one) ? one : Object.values(one);
    seen += values.length;
    if (seen > MOST_VALUES) return true;
    for (const value of values) if (typeof value === 'object' && value !== null) open.push(value);
  }
  return false;
}

function wrongRoute(app: FastifyInstance, method: string, url: string): Problem {
  const path = url.split('?')[0]!;
  const allowed = (['GET', 'POST', 'PATCH', 'PUT', 'DELETE'] as const).filter(
    (other) => other !== method && app.findRoute({ url: path, method: other }) !== null,
  );
  if (allowed.length === 0) return new Problem(404, 'unknown_route', 'There is nothing at this path.');
  return new Problem(
    405,
    'method_not_allowed',
    `This path takes ${allowed.join(', ')}.`,
    {},
    { allow: allowed.join(', ') },
  );
}
