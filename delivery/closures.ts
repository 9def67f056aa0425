/**
 * Routes that are stopped: when one stops, who may try it again, and when it goes on. The store holds which
 * routes wait for a person, so that every worker knows and a restart forgets nothing.
 */
import { system } from '../core/mail/actor.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { listPausedRoutes, resumeRoute } from '../core/store/overview.ts';
import { lastPause, pauseRoute, takeProbe, wakeSleepers } from '../core/store/routes.ts';
import type { Trouble } from './transport.ts';
import type { Way } from './way.ts';

export interface ClosureOptions {
  probeSeconds: number;
  defaultRoute: string;
}

export class Closures {
  readonly #runtime: Runtime;
  readonly #ways: ReadonlyMap<string, Way>;
  readonly #options: ClosureOptions;
  /** Counts what this process did to routes: an answer of the store that is older than that says nothing. */
  #changes = 0;
  readonly #pauses = new Map<string, { from: Date; to: Date } | undefined>();

  constructor(runtime: Runtime, ways: ReadonlyMap<string, Way>, options: ClosureOptions) {
    this.#runtime = runtime;
    this.#ways = ways;
    this.#options = options;
  }

  /** Brings every way in line with the store: another worker or a person may have stopped or resumed it. */
  async refresh(): Promise<void> {
    const changes = this.#changes;
    const paused = new Map(
      (await listPausedRoutes(this.#runtime.database.pool)).map((one) => [one.name, one]),
    );
    if (changes !== this.#changes) return;
    for (const way of this.#ways.values()) {
      const now = paused.get(way.name);
      if (way.paused !== undefined && now === undefined) this.#opened(way);
      way.paused = now;
      if (!this.#pauses.has(way.name)) await this.#remember(way.name);
    }
  }

  /** When this route was last stopped; a message's time does not run while it is. */
  lastPause(route: string): { from: Date; to: Date } | undefined {
    return this.#pauses.get(route);
  }

  /** The next hop refused our login or our terms: nothing more is sent this way until someone looks. */
  async pause(way: Way, { kind, reason }: Trouble): Promise<void> {
    const { log, metrics, database } = this.#runtime;
    const { probeSeconds } = this.#options;
    const since = new Date();
    this.#changes += 1;
    // At once, so that nothing is claimed while the store is told.
    way.paused ??= { name: way.name, reason, pausedAt: since, probeAt: in_(probeSeconds) };
    metrics.alarm(kind === 'tls' ? 'route_tls' : 'route_auth', true);
    try {
      const fresh = await pauseRoute(database.pool, { name: way.name, reason, probeSeconds });
      if (fresh)
        log.error({ route: way.name, reason }, 'route paused: its mail is kept until the cause is gone');
      way.paused = { name: way.name, reason, pausedAt: since, probeAt: in_(probeSeconds) };
    } catch (err) {
      log.error(
        { err, route: way.name, reason },
        'route paused in this process; the store could not be told',
      );
    }
  }

  /** The next hop took our terms: if the route was stopped, it goes on, and what waited for it is rung for. */
  async resume(way: Way): Promise<void> {
    const { database, bells, log } = this.#runtime;
    if (way.paused === undefined) return;
    const route = { name: way.name, isDefault: way.name === this.#options.defaultRoute };
    try {
      const ids = await resumeRoute(database.pool, route, system('delivery'));
      this.#opened(way);
      bells.ring('delivery', ids ?? []);
    } catch (err) {
      log.warn({ err, route: way.name }, 'a paused route works again, but the store could not be told');
    }
    this.#changes += 1;
  }

  /** A next hop that was away is back: what slept need not sleep on. */
  async wake(way: Way): Promise<void> {
    const { database, log } = this.#runtime;
    const isDefault = way.name === this.#options.defaultRoute;
    log.info({ route: way.name }, 'next hop reachable again');
    await wakeSleepers(database.pool, { name: way.name, isDefault }).catch((err: unknown) =>
      log.warn({ err, route: way.name }, 'mail that slept could not be woken: it wakes by itself'),
    );
  }

  /** True for one worker when the time has come to try one message on a stopped route. */
  async mayProbe(way: Way): Promise<boolean> {
    if (way.paused === undefined) return way.breaker.tryOne();
    if (way.paused.probeAt.getTime() > Date.now()) return false;
    const { probeSeconds } = this.#options;
    const mine = await takeProbe(this.#runtime.database.pool, way.name, probeSeconds);
    way.paused = { ...way.paused, probeAt: in_(probeSeconds) };
    return mine;
  }

  /** How long mail may sleep before it is worth looking at this way again. */
  sleepSeconds(way: Way): number {
    if (way.paused === undefined) return Math.max(1, way.breaker.waitMs / 1000);
    return Math.max(1, (way.paused.probeAt.getTime() - Date.now()) / 1000);
  }

  #opened(way: Way): void {
    way.paused = undefined;
    this.#pauses.delete(way.name);
    void this.#remember(way.name).catch(() => {});
    this.#runtime.log.info({ route: way.name }, 'route resumed');
    if ([...this.#ways.values()].some(({ paused }) => paused !== undefined)) return;
    this.#runtime.metrics.alarm('route_tls', false);
    this.#runtime.metrics.alarm('route_auth', false);
  }

  async #remember(name: string): Promise<void> {
    this.#pauses.set(name, await lastPause(this.#runtime.database.pool, name));
  }
}

function in_(seconds: number): Date {
  return new Date(Date.now() + seconds * 1000);
}
