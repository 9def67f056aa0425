/** The HTTP server without its operations: what every request and every answer goes through. */
import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import fastify, { type FastifyInstance } from 'fastify';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { Problem, problemBody, sendProblem } from '../problem.ts';
import { hostCheck } from './hosts.ts';
import { readBodies } from './request-bodies.ts';

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
    // From anybody else X-Forwarded-For is a claim, by which one client could pass for many.
    trustProxy: config.http.trusted_proxies.length > 0 ? [...config.http.trusted_proxies] : false,
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 400 },
    exposeHeadRoutes: true,
    // An attacker's __proto__ is data like any other: refused while it is read.
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    clientErrorHandler: refuseGarbage,
    // Paths that cannot be decoded come to no handler; Fastify's own answer would repeat them.
    frameworkErrors: (err, request, reply) => sendProblem(err, request, reply.headers(HEADERS), log),
  });
  const routes = noteRoutes(app);
  app.setErrorHandler((err, request, reply) => sendProblem(err, request, reply, log));
  app.setNotFoundHandler((request, reply) => {
    sendProblem(wrongRoute(routes, request.method, request.url), request, reply, log);
  });

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
  readBodies(app);
  return app;
}

/** What is no HTTP gets an answer of the same shape, as far as one can be given, and no connection. */
function refuseGarbage(err: NodeJS.ErrnoException, socket: Socket): void {
  if (err.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const problem = garbage(err.code);
  const body = JSON.stringify(problemBody(problem));
  socket.end(
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}\r\n` +
      'content-type: application/json; charset=utf-8\r\n' +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

function garbage(code: string | undefined): Problem {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new Problem(431, 'too_large', 'The header of the request is too large.');
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new Problem(408, 'bad_request', 'The request did not come in time.');
  return new Problem(400, 'bad_request', 'This is no HTTP request.');
}

interface KnownRoute {
  method: string;
  matches: RegExp;
}

/** Notes every route as it is mounted, for what is said where none fits. What is not Postern's is not offered. */
function noteRoutes(app: FastifyInstance): KnownRoute[] {
  const routes: KnownRoute[] = [];
  app.addHook('onRoute', ({ method, url, config }) => {
    if ((config as { hosted?: boolean } | undefined)?.hosted === true) return;
    const pattern = url
      .replace(/\/+$/, '')
      .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
      .replace(/:\w+/g, '[^/]+')
      .replace(/\*/g, '.*');
    for (const one of [method].flat()) routes.push({ method: one, matches: new RegExp(`^${pattern}/?$`) });
  });
  return routes;
}

function wrongRoute(routes: KnownRoute[], method: string, url: string): Problem {
  const path = url.split('?')[0]!;
  const found = routes.filter((route) => route.method !== method && route.matches.test(path));
  const allowed = [...new Set(found.map((route) => route.method))].sort();
  if (allowed.length === 0)
    return new Problem(404, 'unknown_route', 'There is nothing at this path; the reference is at /docs.');
  return new Problem(
    405,
    'method_not_allowed',
    `This path takes ${allowed.join(', ')}.`,
    {},
    { allow: allowed.join(', ') },
  );
}
