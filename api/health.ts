/** Health and figures: what monitoring asks, without a key. Answers name parts of ours, never addresses or mail. */
import { createRequire } from 'node:module';
import type { FastifyInstance } from 'fastify';
import type { Runtime } from '../core/runtime/runtime.ts';
import { pendingMigrations } from '../core/store/migrate.ts';
import { countLive, ping } from '../core/store/overview.ts';

const VERSION: string = createRequire(import.meta.url)('../package.json').version;
const WAIT_MS = 2_000;

type Checks = Record<'database' | 'schema' | 'queue', 'ok' | 'failed' | 'degraded'>;

export function mountHealth(app: FastifyInstance, runtime: Runtime): void {
  const hidden = { schema: { hide: true } as object };

  app.get('/healthz/live', hidden, () => ({ status: 'ok' }));

  app.get('/healthz/ready', hidden, async (_, reply) => {
    const checks = await check(runtime);
    // Mail is accepted and sent without the queue, only later: the sweeper finds what no bell announced.
    const ready = checks.database === 'ok' && checks.schema === 'ok';
    return reply.code(ready ? 200 : 503).send({ status: ready ? 'ok' : 'unavailable', checks });
  });

  app.get('/health', hidden, async (_, reply) => {
    const checks = await check(runtime);
    const well = Object.values(checks).every((state) => state === 'ok');
    return reply
      .code(checks.database === 'ok' ? 200 : 503)
      .send({ status: well ? 'ok' : 'degraded', version: VERSION, checks });
  });

  runtime.metrics.watchDepth(async () =>
    Object.fromEntries((await countLive(runtime.database.pool)).map(({ state, count }) => [state, count])),
  );
  app.get('/metrics', hidden, async (_, reply) => {
    const { registry } = runtime.metrics;
    return reply.header('content-type', registry.contentType).send(await registry.metrics());
  });
}

async function check({ database, bells }: Runtime): Promise<Checks> {
  const [store, schema, queue] = await Promise.all([
    passes(ping(database.pool)),
    passes(pendingMigrations(database.url).then((pending) => void assertNone(pending))),
    passes(bells.healthy().then((healthy) => void assertNone(healthy ? [] : ['queue']))),
  ]);
  return {
    database: store ? 'ok' : 'failed',
    schema: schema ? 'ok' : 'failed',
    queue: queue ? 'ok' : 'degraded',
  };
}

function assertNone(list: string[]): void {
  if (list.length > 0) throw new Error('not ready');
}

async function passes(question: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), WAIT_MS);
  });
  const answer = question.then(
    () => true,
    () => false,
  );
  return Promise.race([answer, late]).finally(() => clearTimeout(timer));
}
