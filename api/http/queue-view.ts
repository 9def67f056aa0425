/** BullMQ's own view of the queues, for admins alone: a browser logs in with the key as its password. */
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { type Authenticator, requireScope, requireWhole } from '../access/authentication.ts';
import type { Caller } from '../operation.ts';
import { Problem, problemBody, sendProblem } from '../problem.ts';

const BASE = '/admin/queues';
const ASK_BROWSER = { 'www-authenticate': 'Basic realm="postern", charset="UTF-8"' };

/** Adds the view with everything below it behind the key of an admin. */
export function mountQueueView(
  app: FastifyInstance,
  { bells, log }: Pick<Runtime, 'bells' | 'log'>,
  authenticator: Authenticator,
): void {
  const adapter = new FastifyAdapter();
  adapter.setBasePath(BASE);
  createBullBoard({
    // To look, not to touch: what a job does is decided by the row, not by a button.
    queues: bells.queues().map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
    serverAdapter: adapter,
  });
  adapter.setErrorHandler((err) => {
    log.error({ err }, 'the queue view failed');
    const problem = new Problem(500, 'internal_error', 'The queue cannot be shown just now.');
    return { status: 500, body: problemBody(problem) };
  });
  app.register(
    async (view) => {
      view.addHook('onRequest', async (request, reply) => {
        try {
          const caller = await viewer(request, authenticator);
          requireScope(caller, 'admin');
          requireWhole(caller);
        } catch (err) {
          // Answered here: the view has an error page of its own, which must not speak for us.
          const asks = err instanceof Problem && err.status === 401;
          const problem = asks ? new Problem(401, err.code, err.message, {}, ASK_BROWSER) : err;
          sendProblem(problem, request, reply, log);
          return reply;
        }
      });
      await view.register(adapter.registerPlugin());
    },
    { prefix: BASE },
  );
}

function viewer(request: FastifyRequest, authenticator: Authenticator): Promise<Caller> {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (encoded === undefined) return authenticator.authenticate(request);
  const pair = Buffer.from(encoded, 'base64').toString();
  return authenticator.callerOf(pair.slice(pair.indexOf(':') + 1), request.ip);
}
