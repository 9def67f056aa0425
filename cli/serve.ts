/**
 * One process of Postern, from its start to its end.
 *
 *   config ─▶ log ─▶ runtime ─▶ mailboxes ─▶ delivery ─▶ policy ─▶ api ─▶ gateway ─▶ ready
 *                                 a signal: closed in reverse, the doors first ◀────────┘
 *
 * The doors open last and close first, so that nothing is taken in that nobody is there to carry on.
 */
import type { Config } from '../core/runtime/config.ts';
import { createLog, type Log } from '../core/runtime/log.ts';
import { collectLessOften } from '../core/runtime/memory.ts';
import { createMetrics } from '../core/runtime/metrics.ts';
import { provisionAccount, provisionMailboxes } from '../core/runtime/provision.ts';
import { openRuntime, type Room } from '../core/runtime/runtime.ts';
import { endOnSignal } from '../core/runtime/shutdown.ts';
import { startHealth } from './health.ts';
import { refuseNeighbours } from './neighbours.ts';
import { portFailure } from './port-failure.ts';
import { type Bound, greet, quickstartAccounts } from './quickstart.ts';
import { type Common, configOf } from './settings.ts';

export const ROOMS = ['gateway', 'policy', 'delivery', 'api'] as const;
export type RoomName = (typeof ROOMS)[number];

export interface ServeOptions extends Common {
  quickstart?: boolean;
}

/** Resolves when the process is ready; a signal ends it from then on. Throws when it cannot start. */
export async function serve(rooms: RoomName[], options: ServeOptions): Promise<void> {
  collectLessOften();
  const began = performance.now();
  const config = configOf(options);
  const log = createLog({
    level: config.log.level,
    room: rooms.length === ROOMS.length ? 'all' : rooms.join('+'),
  });
  await refuseNeighbours(config, {
    rooms,
    typed: options.quickstart === true ? 'npm start' : `postern serve ${rooms.join(' ')}`,
  });
  const opened: Room[] = [];
  const starting = start(config, log, rooms, opened, options);
  const close = async () => {
    await starting.catch(() => {}); // a signal during the start: what is being opened is closed too
    for (const room of opened.splice(0).reverse())
      await room.close().catch((err: unknown) => log.error({ err }, 'closing failed'));
    log.info('closed');
  };
  const ending = endOnSignal({ log, close: [close] });
  try {
    const { bound, gateway } = await starting;
    process.on('SIGHUP', () => void reloadCertificate(gateway, log));
    log.info({ rooms, ...bound, ms: Math.round(performance.now() - began) }, 'ready');
  } catch (err) {
    ending.ignore();
    await close();
    throw portFailure(err, config) ?? err;
  }
}

async function start(config: Config, log: Log, rooms: RoomName[], opened: Room[], options: ServeOptions) {
  const keep = <R extends Room>(room: R): R => {
    opened.push(room);
    return room;
  };
  const runtime = keep(await openRuntime(config, { log, metrics: createMetrics({ defaults: true }) }));
  await provisionAccount(runtime);
  await provisionMailboxes(runtime);
  const accounts = options.quickstart === true ? await quickstartAccounts(runtime) : undefined;

  if (rooms.includes('delivery')) keep(await (await import('../delivery/main.ts')).startDelivery(runtime));
  if (rooms.includes('policy')) keep(await (await import('../policy/main.ts')).startPolicy(runtime));
  const http = rooms.includes('api')
    ? keep(await (await import('../api/main.ts')).startApi(runtime))
    : keep(await startHealth(runtime, rooms));
  const gateway = rooms.includes('gateway')
    ? keep(await (await import('../gateway/main.ts')).startGateway(runtime))
    : undefined;

  const bound: Bound = { ...gateway?.ports, http: http.port };
  if (accounts !== undefined) greet(config, accounts, bound, options);
  return { bound, gateway };
}

/** SIGHUP: a renewed certificate is taken without a restart. One that is no good leaves the old one in use. */
async function reloadCertificate(
  gateway: { reloadCertificate(): Promise<unknown> } | undefined,
  log: Log,
): Promise<void> {
  if (gateway === undefined) return;
  await gateway.reloadCertificate().then(
    () => log.info('certificate read again'),
    (err: unknown) => log.error({ err }, 'the new certificate cannot be used; the old one stays'),
  );
}
