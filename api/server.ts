/** The HTTP server without its operations: what every request and every answer goes through. */
import fastify, { type FastifyInstance } from 'fastify';
import type { Runtime } from '../core/runtime/runtime.ts';
import { hostCheck } from './hosts.ts';
import { Problem, sendProblem } from './problem.ts';
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
    routerOptions: { ignoreTrailingSlash: true, maxParamLength: 400 },
    exposeHeadRoutes: true,
    // An attacker's __proto__ is data like any other: refused while it is read.
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
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
  if (allowed.length === 0) return new Problem(404, 'unknown_route', 'There is nothing at this path.');
  return new Problem(
    405,
    'method_not_allowed',
    `This path takes ${allowed.join(', ')}.`,
    {},
    { allow: allowed.join(', ') },
  );
}
