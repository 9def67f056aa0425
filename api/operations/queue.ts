/** The queue as a whole. */
import { z } from 'zod';
import { countLive, listPausedRoutes, resumeRoute } from '../../core/store/overview.ts';
import { operation } from '../operation.ts';
import { notFound } from '../problem.ts';
import { iso } from '../views/emails.ts';

export const showQueue = operation({
  name: 'show_queue',
  summary: 'How much mail waits, where, and since when',
  area: 'queue',
  access: ['admin', 'oversight', 'read'],
  method: 'GET',
  path: '/v1/queue',
  input: z.object({}),
  output: z.object({
    states: z.record(z.string(), z.object({ count: z.number(), oldest: z.string().nullable() })),
    bells: z.record(z.string(), z.object({ waiting: z.number(), jobs: z.number().nullable() })),
    backend: z.string(),
    paused_routes: z.array(
      z.object({ name: z.string(), reason: z.string(), paused_at: z.string(), probe_at: z.string() }),
    ),
  }),
  async handle(_, { runtime }) {
    const { pool } = runtime.database;
    const [states, paused, bells] = await Promise.all([
      countLive(pool),
      listPausedRoutes(pool),
      runtime.bells.depths(),
    ]);
    return {
      states: Object.fromEntries(
        states.map(({ state, count, oldest }) => [state, { count, oldest: iso(oldest) }]),
      ),
      bells,
      backend: runtime.bells.kind,
      paused_routes: paused.map(({ name, reason, pausedAt, probeAt }) => ({
        name,
        reason,
        paused_at: pausedAt.toISOString(),
        probe_at: probeAt.toISOString(),
      })),
    };
  },
});

export const resumePausedRoute = operation({
  name: 'resume_route',
  summary: 'Open a paused route and make its mail due',
  area: 'queue',
  access: 'admin',
  method: 'POST',
  path: '/v1/routes/:name/resume',
  input: z.object({ name: z.string().min(1).max(64) }),
  output: z.object({ name: z.string(), status: z.literal('resumed'), due: z.number() }),
  async handle({ name }, { runtime, caller }) {
    const isDefault = runtime.config.delivery.default_route === name;
    const ids = await resumeRoute(runtime.database.pool, { name, isDefault }, caller.actor);
    if (ids === undefined) throw notFound('No route of this name is paused.');
    runtime.bells.ring('delivery', ids);
    return { name, status: 'resumed' as const, due: ids.length };
  },
});

export const queueOperations = [showQueue, resumePausedRoute];
