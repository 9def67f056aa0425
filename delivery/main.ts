/**
 * The delivery room: takes what may leave, hands it to its next hop, and writes what became of it.
 *
 *   bells ─▶ desk ─▶ way (one a route) ─▶ smarthost | capture ─▶ outcome
 */
import type { Room, Runtime } from '../core/runtime/runtime.ts';
import { openCapture } from './capture.ts';
import { Closures } from './closures.ts';
import { Desk } from './desk.ts';
import { Duties } from './duties.ts';
import { Finisher } from './finish.ts';
import { keepLease } from './lease.ts';
import { openSettler } from './settle.ts';
import { openSmarthost } from './smarthost.ts';
import { TIMEOUTS, type Timeouts } from './timeouts.ts';
import type { Transport } from './transport.ts';
import { Way } from './way.ts';

export interface DeliveryOptions {
  timeouts?: Partial<Timeouts>;
  /** After how long a paused route is tried with one message. */
  probeSeconds?: number;
  /** How often changes that others made to routes are looked for. */
  refreshMs?: number;
  /** How long closing waits for what is under way before it breaks it off. */
  closeMs?: number;
}

const CLOSE_MS = 10_000;

/** Starts the room. `close` claims nothing more, lets what is under way end, and gives the lease back. */
export async function startDelivery(runtime: Runtime, options: DeliveryOptions = {}): Promise<Room> {
  const { config, bells, log } = runtime;
  const { delivery } = config;
  const { probeSeconds = 180, closeMs = CLOSE_MS } = options;
  const timeouts = { ...TIMEOUTS, ...options.timeouts };
  const ways = new Map<string, Way>();
  const closures = new Closures(runtime, ways, { probeSeconds, defaultRoute: delivery.default_route });
  const settler = openSettler(runtime);
  const finisher = new Finisher(runtime, settler, closures, {
    retry: delivery.retry,
    giveUpAfterHours: delivery.give_up_after_hours,
    delayNoticeAfterHours: delivery.delay_notice_after_hours,
    probeSeconds,
  });
  const lease = await keepLease(runtime);
  const duties = new Duties(runtime);
  const desk = new Desk({
    runtime,
    lease,
    ways,
    defaultRoute: delivery.default_route,
    closures,
    finisher,
    duties,
  });
  for (const name of Object.keys(delivery.routes)) {
    ways.set(
      name,
      new Way({
        name,
        transport: openTransport(runtime, name, timeouts),
        claim: (ids) => desk.claim(ids),
        attempt: (way, claim) => desk.attempt(way, claim),
        onRest: (ids) => desk.rest(ids),
      }),
    );
  }

  const refresh = () =>
    Promise.all([closures.refresh(), desk.refresh(), duties.refresh()]).catch((err: unknown) =>
      log.warn({ err }, 'routes could not be looked at'),
    );
  await refresh();
  const timer = setInterval(refresh, options.refreshMs ?? 5000);
  const answering = bells.answer('delivery', (ids) => desk.receive(ids));

  return {
    async close() {
      clearInterval(timer);
      desk.stop();
      for (const way of ways.values()) way.stop();
      await answering.close();
      const until = performance.now() + closeMs;
      await desk.idle(closeMs);
      await Promise.all(
        [...ways.values()].map(({ transport }) => transport.close(until - performance.now())),
      );
      // What was broken off has an outcome too: unwritten, it would be in doubt for no reason.
      const left = Math.max(2000, until - performance.now());
      await Promise.all([settler.close(left), desk.idle(left)]);
      await lease.close();
    },
  };
}

function openTransport({ config }: Runtime, name: string, timeouts: Timeouts): Transport {
  const { routes, connections_per_host, messages_per_connection } = config.delivery;
  const route = routes[name]!;
  if (route.type === 'capture') return openCapture({ capacity: 50 });
  return openSmarthost({
    route,
    hostname: config.hostname,
    connections: connections_per_host,
    messagesPerConnection: messages_per_connection,
    timeouts,
  });
}
