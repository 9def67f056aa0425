/** The API as the commands use it. Whatever goes wrong on the way becomes a sentence and a hint. */
import { clean } from '../core/runtime/clean.ts';
import { Failure } from './output.ts';
import { type Common, type Reach, type Role, reachOf } from './settings.ts';

export type Query = Record<string, string | number | boolean | undefined>;

export interface Client {
  readonly url: string;
  get<T>(path: string, query?: Query): Promise<T>;
  post<T>(path: string, body?: unknown): Promise<T>;
  patch<T>(path: string, body: unknown): Promise<T>;
  delete<T>(path: string): Promise<T>;
  /** For what is not JSON: raw messages, exports. */
  raw(path: string, query?: Query): Promise<Response>;
}

const TIMEOUT_MS = 30_000;

export function openClient(options: Common, role: Role): Client {
  const reach = reachOf(options, role);
  const json = async <T>(method: string, path: string, body?: unknown) =>
    (await read(await ask(reach, method, path, body), reach.url)) as T;
  return {
    url: reach.url,
    get: (path, query) => json('GET', withQuery(path, query)),
    post: (path, body) => json('POST', path, body ?? {}),
    patch: (path, body) => json('PATCH', path, body),
    delete: (path) => json('DELETE', path),
    async raw(path, query) {
      const response = await ask(reach, 'GET', withQuery(path, query));
      if (!response.ok) await read(response, reach.url);
      return response;
    },
  };
}

function withQuery(path: string, query: Query = {}): string {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined);
  if (pairs.length === 0) return path;
  return `${path}?${new URLSearchParams(pairs.map(([name, value]): [string, string] => [name, String(value)]))}`;
}

async function ask({ url, key }: Reach, method: string, path: string, body?: unknown): Promise<Response> {
  try {
    return await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        accept: 'application/json, */*',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      redirect: 'error', // a key is for the address it was given for
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (err) {
    throw unreachable(url, err);
  }
}

function unreachable(url: string, err: unknown): Failure {
  const cause = err instanceof Error && err.cause instanceof Error ? err.cause : err;
  const { code, name, message } = cause as NodeJS.ErrnoException;
  if (code === 'ECONNREFUSED')
    return new Failure(`nothing answers at ${url} — is Postern running?`, {
      code: 'not_running',
      hint: 'start it with "npm start", or say where it is by --url or POSTERN_URL',
      cause: err,
    });
  const reason = name === 'TimeoutError' ? `no answer in ${TIMEOUT_MS / 1000} seconds` : clean(message, 200);
  return new Failure(`${url} cannot be reached: ${reason}`, { code: 'unreachable', cause: err });
}

/** An error of the API, with its own word in `code` and the rest of its answer in `body`. */
export class Refused extends Failure {
  readonly status: number;
  readonly body: Record<string, unknown>;
  constructor(status: number, body: Record<string, unknown>, hint: string | undefined) {
    super(clean(String(body.error ?? `the API answered ${status}`)), {
      code: String(body.code ?? `http_${status}`),
      hint,
    });
    this.name = 'Refused';
    this.status = status;
    this.body = body;
  }
}

async function read(response: Response, url: string): Promise<unknown> {
  const text = await response.text();
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    const kind = response.headers.get('content-type') ?? 'nothing';
    throw new Failure(`${url} does not answer as Postern does (${response.status}, ${clean(kind, 80)})`, {
      code: 'not_postern',
      hint: 'check --url or POSTERN_URL',
    });
  }
  if (response.ok) return body;
  const facts = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  throw new Refused(response.status, facts, hintFor(response.status));
}

function hintFor(status: number): string | undefined {
  if (status === 401)
    return 'the key is unknown, revoked or expired: give another by --key or POSTERN_API_KEY';
  if (status === 403) return '"postern key list" shows which key may do what; "postern key create" makes one';
  return undefined;
}
