/** Operations of a Postern elsewhere, by REST, with one key. */
import { needsMailbox } from '../dialects/mailbox.ts';
import type { Operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import type { Said } from './calls.ts';
import { isObject } from './protocol.ts';
import { withPause } from './tell.ts';

export interface Remote {
  /** Without a slash at the end. */
  url: string;
  key: string;
  /** The mailbox of calls that name none. */
  mailbox: string | undefined;
}

type Given = Record<string, unknown>;

/** Longer than the longest wait there is. */
const TIMEOUT_MS = 150_000;

/** Carries out an operation by a request; throws the Problem of a Postern that cannot be reached or is none. */
export async function invokeRemotely(
  remote: Remote,
  one: Operation,
  given: Given,
  gone: AbortSignal,
): Promise<Said> {
  const input = { ...given };
  if (needsMailbox(one) && input.mailbox_id === undefined && remote.mailbox !== undefined)
    input.mailbox_id = remote.mailbox;
  const { method, path, body } = requestFor(one, input);
  const said = await ask(remote, method, path, body, gone);
  if (path === `/v1/${one.name}` && isObject(said.body) && Array.isArray(said.body.emails)) {
    // Its path by name tells a list twice, for programs; a model reads it once.
    const { messages: _twice, ...once } = said.body;
    return { ...said, body: once };
  }
  return said;
}

interface Asked {
  method: string;
  path: string;
  body?: Given;
}

/**
 * The operation's own request, where its path and its query can hold the input. Otherwise that of its name, which
 * takes all of it as a body, and finds out which mailbox is meant.
 */
function requestFor(one: Operation, input: Given): Asked {
  const byName = { method: 'POST', path: `/v1/${one.name}`, body: input };
  const rest = { ...input };
  let missing = false;
  const path = one.path.replace(/:(\w+)/g, (_, name: string) => {
    const value = rest[name];
    missing ||= typeof value !== 'string' || value === '';
    delete rest[name];
    return encodeURIComponent(String(value));
  });
  if (missing) return byName;
  if (one.method !== 'GET') return { method: one.method, path, body: rest };
  if (Object.values(rest).some((value) => typeof value === 'object')) return byName;
  const query = new URLSearchParams(
    Object.entries(rest).map(([name, value]): [string, string] => [name, String(value)]),
  );
  return { method: 'GET', path: query.size > 0 ? `${path}?${query}` : path };
}

/** One request. What is answered as JSON is told, whatever its status. */
export async function ask(
  { url, key }: Pick<Remote, 'url' | 'key'>,
  method: string,
  path: string,
  body: object | undefined,
  gone: AbortSignal,
): Promise<Said> {
  let response: Response;
  let text: string;
  try {
    response = await fetch(`${url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        accept: 'application/json',
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      redirect: 'error', // a key is for the address it was given for
      signal: AbortSignal.any([gone, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    text = await response.text();
  } catch {
    throw new Problem(503, 'unavailable', `Postern cannot be reached at ${url}: is it running there?`);
  }
  try {
    const body: unknown = JSON.parse(text);
    const pause = response.headers.get('retry-after');
    return { status: response.status, body: isObject(body) ? withPause(body, pause) : body };
  } catch {
    throw new Problem(502, 'not_postern', `What answers at ${url} does not answer as Postern does.`);
  }
}
