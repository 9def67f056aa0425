/**
 * Opens a session: connection, greeting, EHLO, STARTTLS and login are nodemailer's, which drops what is injected
 * before the handshake. What may be said to whom is decided here:
 *
 *   tls: required       verified TLS, or no mail
 *   tls: opportunistic  TLS where it works, verified only when a password depends on it
 *   a password          over verified TLS alone, or in clear to this very machine where the operator says `none`
 */
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import { parseNextHopReply } from '../core/mail/next-hop.ts';
import { oneLine } from '../core/mail/text.ts';
import type { Route } from '../core/runtime/config.ts';
import { Session } from './smtp-session.ts';
import type { Timeouts } from './timeouts.ts';
import type { Trouble } from './transport.ts';

export type Smarthost = Extract<Route, { type: 'smarthost' }>;

/** The route cannot be used, for a reason that no message is to blame for. */
export class CannotOpen extends Error {
  readonly trouble: Trouble;
  constructor(trouble: Trouble) {
    super(trouble.reason);
    this.trouble = trouble;
  }
}

export interface OpenOptions {
  route: Smarthost;
  hostname: string;
  timeouts: Timeouts;
}

/** A session that may carry mail under the route's terms. Throws `CannotOpen`. */
export async function openSession(options: OpenOptions): Promise<Session> {
  try {
    return await open(options, options.route.tls !== 'none');
  } catch (err) {
    const broken = err instanceof CannotOpen && err.trouble.kind === 'tls';
    const { tls, username } = options.route;
    // Opportunistic TLS that fails is no TLS; but a password never travels without it.
    if (broken && tls === 'opportunistic' && username === undefined) return open(options, false);
    throw err;
  }
}

async function open({ route, hostname, timeouts }: OpenOptions, tls: boolean): Promise<Session> {
  const connection = new SMTPConnection({
    host: route.host,
    port: route.port,
    name: hostname,
    secure: tls && route.port === 465, // RFC 8314 §3.3
    requireTLS: route.tls === 'required',
    ignoreTLS: !tls,
    opportunisticTLS: route.tls === 'opportunistic',
    connectionTimeout: timeouts.connect,
    greetingTimeout: timeouts.greeting,
    socketTimeout: timeouts.command,
    allowInternalNetworkInterfaces: true,
    ...(route.servername !== undefined && { servername: route.servername }),
    tls: {
      minVersion: 'TLSv1.2',
      rejectUnauthorized: route.tls === 'required' || route.username !== undefined,
      ...(route.ca_file !== undefined && { ca: certificates(route.ca_file) }),
    },
  });
  try {
    await connected(connection);
    if (route.username !== undefined) await login(connection, route);
    const session = new Session(takeSocket(connection), `${route.host}:${route.port}`, timeouts);
    await session.hello(hostname);
    if (!session.alive)
      throw new CannotOpen({ kind: 'unreachable', reason: 'the next hop closed the connection' });
    return session;
  } catch (err) {
    connection.close();
    throw err instanceof CannotOpen ? err : new CannotOpen(troubleOf(err));
  }
}

function certificates(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (err) {
    const code = (err as NodeJS.ErrnoException).code ?? 'unreadable';
    throw new CannotOpen({ kind: 'tls', reason: `ca_file ${file} cannot be read (${code})` });
  }
}

function connected(connection: SMTPConnection): Promise<void> {
  return new Promise((resolve, reject) => {
    connection.once('error', reject);
    connection.once('end', () => reject(new Error('the next hop closed the connection')));
    connection.connect((err?: Error | null) => (err ? reject(err) : resolve()));
  });
}

async function login(connection: SMTPConnection, route: Smarthost): Promise<void> {
  const refuse = (reason: string) => {
    throw new CannotOpen({ kind: 'auth', reason });
  };
  const socket = connection._socket;
  const verified = socket instanceof TLSSocket && socket.authorized;
  const toThisMachine = route.tls === 'none' && isLoopback(route.host);
  if (!verified && !toThisMachine)
    refuse('a password is not sent without verified TLS, which the next hop does not offer');
  if (!connection.allowsAuth) refuse('the next hop offers no login on this connection');
  await new Promise<void>((resolve, reject) => {
    connection.once('error', reject);
    connection.once('end', () => reject(new Error('the next hop closed the connection')));
    connection.login({ user: route.username!, pass: route.password ?? '' }, (err?: Error | null) =>
      err ? reject(err) : resolve(),
    );
  });
}

function isLoopback(host: string): boolean {
  return /^(localhost|127\.[\d.]+|::1)$/.test(host);
}

/** The socket, with every listener of nodemailer's taken off: from here on the session is ours alone. */
function takeSocket(connection: SMTPConnection): Socket {
  const socket = connection._socket;
  if (!socket) throw new Error('the next hop closed the connection');
  const theirs = new Set<unknown>(Object.values(connection));
  for (const event of ['data', 'timeout', 'close', 'end', 'error'] as const) {
    for (const listener of socket.listeners(event)) {
      if (theirs.has(listener)) socket.off(event, listener as () => void);
    }
  }
  connection.removeAllListeners();
  connection.on('error', () => {});
  socket.setTimeout(0);
  socket.setNoDelay(true);
  return socket;
}

/** What nodemailer says, as what it means for the route. */
function troubleOf(err: unknown): Trouble {
  const { code, originalCode, response, message, responseCode } = err as NodeJS.ErrnoException & {
    originalCode?: string;
    response?: string;
    responseCode?: number;
  };
  const said = response === undefined ? oneLine(message, 500) : spoken(response);
  if (code === 'EAUTH' && (responseCode ?? 0) >= 500) {
    return { kind: 'auth', reason: `the next hop refused the login: ${said}` };
  }
  if (isAboutTls(code, originalCode, message)) {
    return { kind: 'tls', reason: `TLS with the next hop failed: ${said}` };
  }
  return { kind: 'unreachable', reason: said };
}

function isAboutTls(code: string | undefined, originalCode: string | undefined, message: string): boolean {
  if (/closed unexpectedly/i.test(message)) return false; // it may only have crashed
  const codes = `${code} ${originalCode}`;
  return /ETLS|CERT|ERR_TLS|ERR_SSL|EPROTO\b|UNABLE_TO|SIGNATURE|HOSTNAME/.test(codes);
}

function spoken(response: string): string {
  const { code, enhanced, text } = parseNextHopReply(response);
  return [code === 0 ? '' : code, enhanced ?? '', text].filter((word) => word !== '').join(' ');
}
