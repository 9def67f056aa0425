/** The window for people and programs: REST, health, metrics, the queue view. */
import { baseUrlOf } from '../core/runtime/base-url.ts';
import type { Room, Runtime } from '../core/runtime/runtime.ts';
import { callsOf } from '../core/store/usage.ts';
import { authenticator } from './access/authentication.ts';
import { mountHealth } from './http/health.ts';
import { mountQueueView } from './http/queue-view.ts';
import { mountReference } from './http/reference.ts';
import { mountOperations } from './http/rest.ts';
import { buildServer } from './http/server.ts';
import { mountMcp } from './mcp/http.ts';
import { startNotices } from './notices/notifying.ts';
import { waitingOf } from './reading/waiting.ts';
import { OPERATIONS } from './registry.ts';
import { openDoor } from './sending/door.ts';

export interface Api extends Room {
  /** Where it can be reached on this machine, without a slash at the end. */
  url: string;
  port: number;
}

/** So long what is being answered may take when the room closes. */
const LAST_MS = 5_000;

/** Opens the HTTP port. Throws with the setting's name when it is taken. */
export async function startApi(runtime: Runtime): Promise<Api> {
  const { http } = runtime.config;
  const app = await buildServer(runtime);
  const door = openDoor(runtime);
  const baseUrl = baseUrlOf(runtime.config);
  const keys = authenticator(runtime.database, {
    baseUrl,
    requestsPerMinute: runtime.config.limits.requests_per_key_minute,
  });
  mountHealth(app, runtime);
  mountQueueView(app, runtime, keys);
  mountMcp(app, { operations: OPERATIONS, authenticator: keys, call: { runtime, door, baseUrl } });
  mountOperations(app, { operations: OPERATIONS, authenticator: keys, call: { runtime, door, baseUrl } });
  mountReference(app, OPERATIONS, baseUrl);
  try {
    await app.listen({ host: http.host, port: http.port });
  } catch (err) {
    await app.close();
    throw portTaken(err, http);
  }
  const notices = startNotices(runtime);
  const address = app.server.address();
  const port = typeof address === 'object' && address !== null ? address.port : http.port;
  return {
    url: `http://${urlHost(http.host)}:${port}`,
    port,
    async close() {
      waitingOf(runtime).close();
      await notices.close();
      // A connection on which nothing was ever asked is not idle to Node, and would be waited for.
      const stubborn = setTimeout(() => app.server.closeAllConnections(), LAST_MS);
      await app.close();
      clearTimeout(stubborn);
      await door.close();
      await callsOf(runtime.database.pool)
        .flush()
        .catch((err: unknown) => runtime.log.warn({ err }, 'calls could not be counted'));
    },
  };
}

function portTaken(err: unknown, { host, port }: { host: string; port: number }): unknown {
  const why = {
    EADDRINUSE: 'is in use',
    EACCES: 'may not be opened by this user',
    EADDRNOTAVAIL: 'is not on this machine',
  };
  const reason = why[(err as { code?: keyof typeof why }).code ?? ('' as keyof typeof why)];
  if (reason === undefined) return err;
  return new Error(
    `${host}:${port} ${reason}: set http.port (POSTERN_HTTP_PORT) or http.host (POSTERN_HTTP_HOST)`,
    {
      cause: err,
    },
  );
}

/** A host that can be connected to: everything bound means loopback too. */
function urlHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}
