/**
 * MCP without its transports: one JSON-RPC message in, one out. Both eras of the protocol are spoken, and which of
 * them is said by each request alone, so nothing is remembered between requests:
 *
 *   modern (2026-07-28)     each request names its version in `_meta`; server/discover, tools/list, tools/call
 *   legacy (to 2025-11-25)  initialize, ping, tools/list, tools/call; no session is opened, as none is needed
 *
 * The SDK's server knows the legacy era only; it is the client that the tests speak with.
 */
import { setTimeout as pause } from 'node:timers/promises';

export const MODERN = ['2026-07-28'] as const;
export const LEGACY = ['2025-11-25', '2025-06-18', '2025-03-26', '2024-11-05'] as const;
const VERSIONS: readonly string[] = [...MODERN, ...LEGACY];

export const META = {
  version: 'io.modelcontextprotocol/protocolVersion',
  capabilities: 'io.modelcontextprotocol/clientCapabilities',
  server: 'io.modelcontextprotocol/serverInfo',
} as const;

/** Error codes of JSON-RPC 2.0 section 5.1, and those that MCP has added. */
export const CODES = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
  internal: -32603,
  headerMismatch: -32020,
  unsupportedVersion: -32022,
} as const;

export type Id = string | number;
type Params = Record<string, unknown>;

export interface Request {
  id: Id;
  method: string;
  params: Params;
}

export type Message =
  | { kind: 'request'; request: Request }
  | { kind: 'notification'; method: string; params: Params }
  | { kind: 'response' }
  | { kind: 'invalid'; id: Id | null };

/** What a message is. A batch is none: revision 2025-03-26 alone had them, and no client is known to send any. */
export function read(value: unknown): Message {
  if (!isObject(value)) return { kind: 'invalid', id: null };
  const { id, method, params } = value;
  const named = typeof id === 'string' || (typeof id === 'number' && Number.isFinite(id)) ? id : null;
  if (value.jsonrpc !== '2.0') return { kind: 'invalid', id: named };
  if (method === undefined && ('result' in value || 'error' in value)) return { kind: 'response' };
  if (typeof method !== 'string' || (params !== undefined && !isObject(params)))
    return { kind: 'invalid', id: named };
  if (id === undefined) return { kind: 'notification', method, params: params ?? {} };
  if (named === null) return { kind: 'invalid', id: null };
  return { kind: 'request', request: { id: named, method, params: params ?? {} } };
}

/** The tools as one caller has them. */
export interface Tools {
  list(): readonly object[] | Promise<readonly object[]>;
  /** Resolves to what the tool says, failures included; throws Fault for a call that is no call. */
  call(name: string, given: Params, how: Context): Promise<{ content: object[]; isError?: true }>;
}

export interface Context {
  /** Ends when nobody waits for the answer any longer. */
  gone: AbortSignal;
}

/** A message in answer, and the status it has over HTTP. */
export interface Answer {
  status: number;
  message: object;
}

export class Fault extends Error {
  readonly code: number;
  readonly status: number;
  readonly data: unknown;
  constructor(
    code: number,
    message: string,
    { status = 200, data }: { status?: number; data?: unknown } = {},
  ) {
    super(message);
    this.code = code;
    this.status = status;
    this.data = data;
  }
}

export function faultAnswer(id: Id | null, fault: Fault): Answer {
  const { code, message, status, data } = fault;
  const error = { code, message, ...(data !== undefined && { data }) };
  return { status, message: { jsonrpc: '2.0', id, error } };
}

export interface Server {
  info: { name: string; version: string };
  instructions: string;
  tools: Tools;
}

/** The version a request names for itself, which makes it modern or legacy; undefined when it names none. */
export function versionOf({ params }: Request): string | undefined {
  const version = isObject(params._meta) ? params._meta[META.version] : undefined;
  return typeof version === 'string' ? version : undefined;
}

/** Whether a version, as a request or its transport names it, is of the era without a handshake, or of no era known. */
export function isModern(version: string | undefined): boolean {
  return version !== undefined && !(LEGACY as readonly string[]).includes(version);
}

/** Answers a request. `version` is the one its transport names, if it does: over HTTP both have to agree. */
export async function answer(
  request: Request,
  server: Server,
  { version, ...context }: Context & { version?: string | undefined },
): Promise<Answer> {
  try {
    const modern = isModern(versionOf(request) ?? version);
    if (modern) checkModern(request, version);
    const result = await (modern ? modernResult : legacyResult)(request, server, context);
    return { status: 200, message: { jsonrpc: '2.0', id: request.id, result } };
  } catch (err) {
    if (err instanceof Fault) return faultAnswer(request.id, err);
    throw err;
  }
}

function checkModern(request: Request, transport: string | undefined): void {
  const meta = isObject(request.params._meta) ? request.params._meta : {};
  const version = versionOf(request);
  if (transport !== undefined && version !== undefined && transport !== version)
    throw new Fault(CODES.headerMismatch, 'MCP-Protocol-Version and the version in _meta differ.', {
      status: 400,
    });
  const named = version ?? transport!;
  if (!(MODERN as readonly string[]).includes(named))
    throw new Fault(CODES.unsupportedVersion, 'Unsupported protocol version', {
      status: 400,
      data: { supported: VERSIONS, requested: named },
    });
  const missing = [META.version, META.capabilities].filter((key) => meta[key] === undefined);
  if (missing.length > 0 || !isObject(meta[META.capabilities]))
    throw new Fault(CODES.invalidParams, `_meta must hold ${META.version} and ${META.capabilities}.`, {
      status: 400,
    });
}

const CAPABILITIES = { tools: {} };
/** How long a client may keep a list: it only changes with the key's scopes and with an upgrade of Postern. */
const FRESH_MS = 300_000;

async function modernResult(request: Request, server: Server, context: Context): Promise<object> {
  const { info, instructions, tools } = server;
  const frame = { resultType: 'complete', _meta: { [META.server]: info } };
  const cached = { ...frame, ttlMs: FRESH_MS, cacheScope: 'private' };
  switch (request.method) {
    case 'server/discover':
      return {
        ...cached,
        supportedVersions: VERSIONS,
        capabilities: CAPABILITIES,
        serverInfo: info,
        instructions,
      };
    case 'tools/list':
      return { ...cached, tools: await listed(request, tools) };
    case 'tools/call':
      return { ...frame, ...(await called(request, tools, context)) };
    default:
      throw new Fault(CODES.methodNotFound, 'Method not found', { status: 404 });
  }
}

async function legacyResult(request: Request, server: Server, context: Context): Promise<object> {
  switch (request.method) {
    case 'initialize': {
      const { protocolVersion } = request.params;
      const known = LEGACY.find((version) => version === protocolVersion);
      return {
        protocolVersion: known ?? LEGACY[0],
        capabilities: CAPABILITIES,
        serverInfo: server.info,
        instructions: server.instructions,
      };
    }
    case 'ping':
      return {};
    case 'tools/list':
      return { tools: await listed(request, server.tools) };
    case 'tools/call':
      return called(request, server.tools, context);
    default:
      throw new Fault(CODES.methodNotFound, 'Method not found');
  }
}

async function listed({ params }: Request, tools: Tools): Promise<readonly object[]> {
  // All fit on one page, so no cursor was ever given out.
  if (params.cursor !== undefined) throw new Fault(CODES.invalidParams, 'There is no such cursor.');
  return tools.list();
}

function called({ params }: Request, tools: Tools, context: Context): Promise<object> {
  const { name, arguments: given = {} } = params;
  if (typeof name !== 'string' || !isObject(given))
    throw new Fault(CODES.invalidParams, 'tools/call needs a name, and an object as its arguments.');
  return tools.call(name, given, context);
}

const BEAT_MS = 10_000;

/**
 * What is said of a request until it is answered: now and then nothing, or the seconds that have passed where its
 * caller asked for progress, and at the end the answer. A client that hears something does not give up.
 */
export async function* beats(
  { params }: Request,
  answering: Promise<Answer>,
): AsyncGenerator<object | undefined> {
  const token = isObject(params._meta) ? params._meta.progressToken : undefined;
  for (let beat = 1; ; beat++) {
    const timer = new AbortController();
    const passed = pause(BEAT_MS, undefined, { signal: timer.signal }).catch(() => undefined);
    const done = await Promise.race([answering, passed]).finally(() => timer.abort());
    if (done !== undefined) return yield done.message;
    const progress = { progressToken: token, progress: (beat * BEAT_MS) / 1000 };
    yield token === undefined
      ? undefined
      : { jsonrpc: '2.0', method: 'notifications/progress', params: progress };
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
