import net from 'node:net';

/**
 * A PostgreSQL server with a hand on its wire: it passes everything through, and stops at the named
 * prepared statements a test asks for (or at simple ones, by their text, such as `commit`), so that a process can be
 * killed exactly there.
 *
 *   client ──request──▶ [held here: not yet done] ──▶ PostgreSQL
 *   client ◀── [held here: committed, not yet known] ◀──response── PostgreSQL
 */
export interface PostgresProxy {
  /** For the process under test. */
  readonly url: string;
  /** Resolves when the next `statement` reaches `point`, where it is held until `release`. */
  hold(statement: string, point: 'request' | 'response'): Promise<Held>;
  close(): Promise<void>;
}

export interface Held {
  release(): void;
}

interface Trap {
  statement: string;
  point: 'request' | 'response';
  sprung: (held: Held) => void;
}

/** Stands before the server that `target` (a URL with a host or a socket folder) names. */
export async function startPostgresProxy(target: string): Promise<PostgresProxy> {
  const traps: Trap[] = [];
  const sockets = new Set<net.Socket>();

  function trapFor(statement: string, point: Trap['point']): Trap | undefined {
    const at = traps.findIndex((trap) => trap.statement === statement && trap.point === point);
    return at < 0 ? undefined : traps.splice(at, 1)[0];
  }

  const server = net.createServer((client) => {
    const upstream = net.connect(addressOf(target));
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    // One name for each Sync under way; each is answered by one ReadyForQuery.
    const underWay: string[] = [];
    let bound = '';
    const toServer = gate((frame) => {
      const type = String.fromCharCode(frame[0]!);
      if (type === 'B') bound = statementOf(frame);
      if (type === 'Q') bound = frame.toString('latin1', 5, frame.length - 1);
      if (type === 'Q' || type === 'S') underWay.push(bound);
      return type === 'B' || type === 'Q' ? trapFor(bound, 'request') : undefined;
    }, upstream);
    const toClient = gate((frame) => {
      if (String.fromCharCode(frame[0]!) !== 'Z') return undefined;
      const done = underWay.shift();
      return done === undefined ? undefined : trapFor(done, 'response');
    }, client);
    const fromClient = framer(toServer, { startup: true });
    const fromServer = framer(toClient, { startup: false });
    client.on('data', fromClient);
    upstream.on('data', fromServer);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const { port } = server.address() as net.AddressInfo;
  const url = new URL(target.replace(/^postgres(ql)?:/, 'http:'));

  return {
    url: `postgresql://${url.username || 'postern'}${url.password ? `:${url.password}` : ''}@127.0.0.1:${port}${url.pathname}`,
    hold(statement, point) {
      return new Promise((sprung) => traps.push({ statement, point, sprung }));
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
}

/** Passes frames on in order; where `trapped` names a trap, that frame and all after it wait for its release. */
function gate(
  trapped: (frame: Buffer) => Trap | undefined,
  out: net.Socket,
): (frame: Buffer, typed: boolean) => void {
  let held: Buffer[] | undefined;
  return (frame, typed) => {
    if (held !== undefined) {
      held.push(frame);
      return;
    }
    const trap = typed ? trapped(frame) : undefined;
    if (trap === undefined) {
      out.write(frame);
      return;
    }
    held = [frame];
    trap.sprung({
      release() {
        for (const waiting of held ?? []) out.write(waiting);
        held = undefined;
      },
    });
  };
}

/** Cuts a stream into protocol messages; the first one of a client has no type byte. */
function framer(take: (frame: Buffer, typed: boolean) => void, options: { startup: boolean }) {
  let rest: Buffer = Buffer.alloc(0);
  let startup = options.startup;
  return (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (;;) {
      const at = startup ? 0 : 1;
      if (rest.length < at + 4) return;
      const length = at + rest.readUInt32BE(at);
      if (rest.length < length) return;
      take(rest.subarray(0, length), !startup);
      rest = rest.subarray(length);
      startup = false;
    }
  };
}

/** Bind: portal name, then the name of the prepared statement. */
function statementOf(bind: Buffer): string {
  const start = bind.indexOf(0, 5) + 1;
  return bind.toString('latin1', start, bind.indexOf(0, start));
}

function addressOf(target: string): net.NetConnectOpts {
  const url = new URL(target.replace(/^postgres(ql)?:/, 'http:'));
  const port = Number(url.port || 5432);
  const folder = url.searchParams.get('host') ?? decodeURIComponent(url.hostname);
  return folder.startsWith('/') ? { path: `${folder}/.s.PGSQL.${port}` } : { host: folder, port };
}
