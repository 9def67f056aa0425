/**
 * Who is here already: another Postern on the same data, or programs on the ports. Looked at before anything is
 * made or started, so that all of it is told at once and nothing is left behind.
 */
import { connect, createServer } from 'node:net';
import { join, resolve } from 'node:path';
import type { Config } from '../core/runtime/config.ts';
import { nameOf } from '../core/runtime/config-walk.ts';
import { lockOwner } from '../core/runtime/folder-lock.ts';
import { Failure } from './output.ts';
import { portFailure, type Room, seeWho, settingsOf } from './port-failure.ts';
import { quickstartFile, readQuickstart } from './quickstart-file.ts';
import { sh } from './welcome.ts';

export interface Start {
  rooms: readonly Room[];
  /** How it was started, as it would be typed again. */
  typed: string;
}

/** Throws a Failure that names who has the folder or the ports, how to end them, and how to start beside them. */
export async function refuseNeighbours(config: Config, start: Start): Promise<void> {
  await refuseOwner(config, start);
  const wanted = settingsOf(config, start.rooms);
  const taken: Taken[] = [];
  for (const place of wanted) {
    const err = await listenError(place);
    if (err === undefined) continue;
    if (err.code !== 'EADDRINUSE') throw portFailure(err, config) ?? err;
    taken.push({ ...place, postern: await isPostern(place) });
  }
  if (taken.length > 0) throw await portsTaken(taken, wanted, start);
}

interface Place {
  host: string;
  port: number;
  path: string[];
}

interface Taken extends Place {
  /** Undefined: it does not say, being under TLS. */
  postern: boolean | undefined;
}

/** The folder is locked for good when PostgreSQL starts; this is for the words. */
async function refuseOwner(config: Config, { rooms, typed }: Start): Promise<void> {
  if (config.database.url !== undefined) return;
  const dataDir = resolve(config.data_dir);
  const pid = lockOwner(join(dataDir, 'postgres.lock'));
  if (pid === undefined) return;
  const others = await free(settingsOf(config, rooms));
  const api = urlOf(dataDir);
  throw new Failure(
    `${dataDir} is in use by process ${pid}: Postern runs there already${api === undefined ? '' : ` (${api})`}`,
    {
      code: 'data_in_use',
      hint: lines(
        `end it with Ctrl-C in its terminal, or by: kill ${pid}`,
        'or start a second one beside it, with data and ports of its own:',
        `${nameOf(['data_dir'])}=./data-2 ${others} ${typed}`,
      ),
    },
  );
}

function urlOf(dataDir: string): string | undefined {
  try {
    return readQuickstart(quickstartFile(dataDir))?.api.url;
  } catch {
    return undefined; // another user's
  }
}

async function portsTaken(taken: Taken[], wanted: Place[], { typed }: Start): Promise<Failure> {
  const some = taken.some(({ postern }) => postern === true);
  const all = some && taken.every(({ postern }) => postern !== false);
  const who = all ? 'another Postern' : taken.length === 1 ? 'another program' : 'other programs';
  const named = taken.map(
    ({ host, port, path }) => `port ${port} on ${host} (${path.join('.')}, ${nameOf(path)})`,
  );
  const message =
    named.length === 1
      ? `${named[0]} is in use by ${who}`
      : `${named.length} ports are in use by ${who}:\n  ${named.join('\n  ')}`;
  return new Failure(message, {
    code: 'port_in_use',
    hint: lines(
      `see who has it: ${seeWho(taken[0]!.port)}`,
      all ? 'end it with Ctrl-C in its terminal, or start this one beside it:' : 'end it, or choose another:',
      `${[...kept(taken, wanted), await free(taken, wanted), typed].join(' ')}`,
    ),
  });
}

/** What was set for this start and has to be said again. */
function kept(taken: Place[], wanted: Place[]): string[] {
  const moved = taken.map(({ path }) => nameOf(path));
  const names = ['POSTERN_CONFIG', nameOf(['data_dir']), ...wanted.map(({ path }) => nameOf(path))];
  return names
    .filter((name) => process.env[name] && !moved.includes(name))
    .map((name) => `${name}=${sh(process.env[name]!)}`);
}

/** Settings with free ports for these places, as they stand before a command. */
async function free(places: Place[], avoid: Place[] = places): Promise<string> {
  const used = new Set(avoid.map(({ port }) => port));
  const chosen: string[] = [];
  for (const { host, port, path } of places) {
    let other = port < 1024 ? port + 2000 : Math.min(port + 1, 65_535);
    while (used.has(other) || (await listenError({ host, port: other, path })) !== undefined)
      other = other < 65_535 ? other + 1 : 20_000;
    used.add(other);
    chosen.push(`${nameOf(path)}=${other}`);
  }
  return chosen.join(' ');
}

function listenError({ host, port }: Place): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((done) => {
    const server = createServer();
    server.once('error', done);
    server.listen({ host, port, exclusive: true }, () => server.close(() => done(undefined)));
  });
}

const PATIENCE_MS = 500;

/** By its greeting, or by what it answers about its health; a port under TLS says nothing of itself. */
async function isPostern({ host, port, path }: Place): Promise<boolean | undefined> {
  const at = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host;
  if (path[1] === 'tls_port') return undefined;
  if (path[0] !== 'http') return / ESMTP Postern\b/.test(await greeting(at, port));
  try {
    const url = `http://${at.includes(':') ? `[${at}]` : at}:${port}/health`;
    const response = await fetch(url, { signal: AbortSignal.timeout(4 * PATIENCE_MS) });
    const { version, checks } = (await response.json()) as {
      version?: unknown;
      checks?: { schema?: unknown };
    };
    return version !== undefined && checks?.schema !== undefined;
  } catch {
    return false;
  }
}

function greeting(host: string, port: number): Promise<string> {
  return new Promise((done) => {
    const socket = connect({ host, port });
    const end = (said: string) => {
      socket.destroy();
      done(said);
    };
    socket.setTimeout(PATIENCE_MS, () => end(''));
    socket.once('data', (chunk) => end(chunk.toString('latin1').slice(0, 512)));
    socket.once('error', () => end(''));
    socket.once('close', () => end(''));
  });
}

function lines(...all: string[]): string {
  return all.join('\n  ');
}
