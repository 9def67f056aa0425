/** Health and figures: what monitoring asks, without a key. Answers name parts of ours, never addresses or mail. */
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';
import { readiness } from '../../core/runtime/readiness.ts';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { countLive } from '../../core/store/overview.ts';

export const VERSION: string = createRequire(import.meta.url)('../../package.json').version;

export function mountHealth(app: FastifyInstance, runtime: Runtime): void {
  const hidden = { schema: { hide: true } as object };

  app.get('/healthz/live', hidden, () => ({ status: 'ok' }));

  app.get('/healthz/ready', hidden, async (_, reply) => {
    const { ready, checks } = await readiness(runtime);
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ok' : 'unavailable', checks });
  });

  app.get('/health', hidden, async (_, reply) => {
    const { ready, checks } = await readiness(runtime);
    const well = Object.values(checks).every((state) => state === 'ok');
    return reply.code(ready ? 200 : 503).send({ status: well ? 'ok' : 'degraded', version: VERSION, checks });
  });

  runtime.metrics.watchDepth(async () =>
    Object.fromEntries((await countLive(runtime.database.pool)).map(({ state, count }) => [state, count])),
  );
  app.get('/metrics', hidden, async (_, reply) => {
    const { registry } = runtime.metrics;
    return reply.header('content-type', registry.contentType).send(await registry.metrics());
  });
}
