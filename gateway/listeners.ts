/** One listening port, from its certificate to its end. */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import type { Reply } from '../core/mail/reply.ts';
import type { Certificate } from '../core/runtime/certificate.ts';
import { LONGEST_LINE } from './commands.ts';
import type { DoorKind } from './door.ts';
import { Session, type SessionHouse } from './session.ts';
import { Connection, Server } from './smtp-server-seams.ts';

export interface Listening {
  readonly port: number;
  /** Sessions that begin from now on see this certificate. */
  use(certificate: Certificate): void;
  /** Takes nothing new, lets what is arriving finish for a moment, and says goodbye. */
  close(): Promise<void>;
}

export interface ListenerSettings {
  kind: DoorKind;
  host: string;
  number: number;
  /** The key of the port's setting, for whoever has to change it. */
  setting: string;
  implicitTls: boolean;
  certificate: Certificate;
  house: SessionHouse & { limits: { idle_seconds: number } };
  enter: (address: string) => Reply | (() => void);
}

/** Strangers who speak before they are greeted give themselves away in this time. */
const EARLY_TALKER_MS = 100;
const HANDSHAKE_SECONDS = 30;
const FAREWELL_MS = 5_000;

export async function listen(settings: ListenerSettings): Promise<Listening> {
  const { kind, house, certificate } = settings;
  const server = new Server({
    name: house.hostname,
    greetingDelayMs: kind.strict ? EARLY_TALKER_MS : 0,
    longestLine: LONGEST_LINE,
    handshakeSeconds: Math.min(HANDSHAKE_SECONDS, house.limits.idle_seconds),
    options: {
      secure: settings.implicitTls,
      socketTimeout: house.limits.idle_seconds * 1000,
      ...tlsOf(certificate),
    },
    admit: (wire) => new Session(wire, kind, house),
    enter(address) {
      const entered = settings.enter(address);
      if (typeof entered !== 'function') house.metrics.refused(kind.listener, entered);
      return entered;
    },
    // Handshakes that fail and peers that vanish are everyday business.
    onError: (err) => house.log.debug({ listener: kind.listener, err }, 'a connection failed'),
  });
  const port = await bind(server, settings);
  return {
    port,
    use: (fresh) => server.updateSecureContext(tlsOf(fresh)),
    close: () => close(server),
  };
}

function tlsOf({ cert, key }: Certificate) {
  return { cert, key, minVersion: 'TLSv1.2' as const }; // RFC 8996
}

async function bind(server: Server, { host, number, setting }: ListenerSettings): Promise<number> {
  const listener = server.listen(number, host);
  try {
    await once(listener, 'listening');
  } catch (err) {
    throw new Error(`cannot listen on ${host}:${number} (${setting}): ${reasonOf(err)}`, { cause: err });
  }
  return (listener.address() as AddressInfo).port;
}

function reasonOf(err: unknown): string {
  const { code, message } = err as NodeJS.ErrnoException;
  if (code === 'EADDRINUSE') return 'the port is in use';
  if (code === 'EACCES') return 'this user may not bind the port';
  return message;
}

async function close(server: Server): Promise<void> {
  const closed = new Promise<void>((done) => server.server.close(() => done()));
  for (const socket of server._pendingSockets.values()) socket.destroy(); // in a handshake
  for (const connection of server.connections)
    if (connection instanceof Connection) (connection.guest as Session).leave(connection.isWaiting);
  const late = setTimeout(() => {
    for (const connection of server.connections) (connection as Connection).drop();
  }, FAREWELL_MS);
  await closed;
  clearTimeout(late);
}
