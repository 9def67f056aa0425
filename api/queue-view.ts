/** BullMQ's own view of the queues, for admins alone: a browser logs in with the key as its password. */
import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Bells } from '../core/queue/bells.ts';
import { type Authenticator, requireScope } from './authentication.ts';
import { Problem } from './problem.ts';

const BASE = '/admin/queues';

export function mountQueueView(app: FastifyInstance, bells: Bells, authenticator: Authenticator): void {
  const adapter = new FastifyAdapter();
  adapter.setBasePath(BASE);
  createBullBoard({
    // To look, not to touch: what a job does is decided by the row, not by a button.
    queues: bells.queues().map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
    serverAdapter: adapter,
  });
  app.register(
    async (view) => {
      view.addHook('onRequest', async (request) => {
        const password = basicPassword(request);
        try {
          const caller =
            password === undefined
              ? await authenticator.authenticate(request)
              : await authenticator.callerOf(password, request.ip);
          requireScope(caller, 'admin');
        } catch (err) {
          if (!(err instanceof Problem) || err.status !== 401) throw err;
          throw new Problem(
            401,
            err.code,
            err.message,
            {},
            { 'www-authenticate': 'Basic realm="postern", charset="UTF-8"' },
          );
        }
      });
      await view.register(adapter.registerPlugin());
    },
    { prefix: BASE },
  );
}

function basicPassword({ headers }: FastifyRequest): string | undefined {
  const encoded = /^Basic +([A-Za-z0-9+/=_-]+)$/i.exec(headers.authorization ?? '')?.[1];
  if (encoded === undefined) return undefined;
  const pair = Buffer.from(encoded, 'base64').toString();
  return pair.slice(pair.indexOf(':') + 1);
}
