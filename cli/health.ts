/**
 * Health and metrics of a process that does not run the api room: the same paths on the same setting
 * (`http.host`, `http.port`), so that every container is asked in the same way.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readiness } from '../core/runtime/readiness.ts';
import type { Room, Runtime } from '../core/runtime/runtime.ts';
import { VERSION } from './version.ts';

export async function startHealth(
  runtime: Runtime,
  rooms: readonly string[],
): Promise<Room & { port: number }> {
  const server = createServer((request, response) => {
    const path = new URL(request.url ?? '/', 'http://localhost').pathname;
    void answer(path, runtime, rooms, response).catch((err: unknown) => {
      runtime.log.error({ err }, 'a question about health failed');
      reply(response, 500, { status: 'failed' });
    });
  });
  const { host, port } = runtime.config.http;
  await new Promise<void>((done, failed) => {
    server.once('error', failed);
    server.listen(port, host, done);
  });
  server.unref();
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

async function answer(
  path: string,
  runtime: Runtime,
  rooms: readonly string[],
  response: ServerResponse,
): Promise<void> {
  if (path === '/healthz/live') return reply(response, 200, { status: 'ok' });
  if (path === '/healthz/ready' || path === '/health') {
    const { ready, checks } = await readiness(runtime);
    return reply(response, ready ? 200 : 503, {
      status: ready ? 'ok' : 'unavailable',
      version: VERSION,
      rooms,
      checks,
    });
  }
  if (path === '/metrics') {
    response.writeHead(200, { 'content-type': runtime.metrics.registry.contentType });
    response.end(await runtime.metrics.registry.metrics());
    return;
  }
  reply(response, 404, {
    error: 'This process answers /healthz/live, /healthz/ready and /metrics.',
    code: 'not_found',
  });
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
  });
  response.end(`${JSON.stringify(body)}\n`);
}
