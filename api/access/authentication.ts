/** Who calls: the key in the request, what it may do, and what it may see. */
import { hash, hkdfSync } from 'node:crypto';
import type { FastifyRequest } from 'fastify';
import type { Database } from '../../core/store/database.ts';
import {
  findingKeys,
  type KeyFacts,
  looksLikeKey,
  noteAuthFailure,
  type Scope,
  touchKey,
} from '../../core/store/keys.ts';
import { ratesOf } from '../../core/store/rates.ts';
import type { Access, Caller } from '../operation.ts';
import { Problem } from '../problem.ts';
import { failureLimiter, tooMany } from './limiter.ts';

export interface Authenticator {
  /** The caller behind a request; throws the 401 or 429 it deserves. */
  authenticate(request: FastifyRequest): Promise<Caller>;
  /** The caller behind a key, however it was shown. */
  callerOf(apiKey: string, address: string): Promise<Caller>;
}

/** The caller of an operation that asks for no key. */
export const NOBODY: Caller = {
  key: {
    id: '',
    name: '',
    prefix: '',
    scopes: [],
    principalId: '',
    principalKind: 'agent',
    principalName: '',
    owner: null,
    mailboxId: null,
    createdAt: new Date(0),
    expiresAt: null,
    lastUsedAt: null,
    revokedAt: null,
  },
  actor: { type: 'peer', id: null, name: 'anonymous' },
  onlyMailbox: null,
};

const TOUCH_EVERY_MS = 60_000;

/** With `requestsPerMinute` a key is limited, over all processes together. */
export function authenticator(
  database: Database,
  options: { baseUrl: string; requestsPerMinute?: number | undefined },
): Authenticator {
  const db = database.pool;
  const keys = findingKeys(database);
  const limiter = failureLimiter({ tries: 20, windowSeconds: 60 });
  const touched = new Map<string, number>();
  const failed = new Map<string, number>();
  // Keys that were good before are let in from an address that guesses: behind a proxy all share one.
  const proven = new Set<string>();

  function refuse(code: 'missing_credentials' | 'invalid_key' | 'revoked_key', text: string): Problem {
    const realm = `Bearer realm="postern", resource_metadata="${options.baseUrl}/.well-known/oauth-protected-resource"`;
    return new Problem(401, code, text, {}, { 'www-authenticate': realm });
  }

  async function refuseFlood(key: KeyFacts): Promise<void> {
    if (options.requestsPerMinute === undefined) return;
    const wait = await ratesOf(db).take('requests', key.id, options.requestsPerMinute, 60);
    if (wait !== undefined) throw tooMany('This key makes too many requests; try again later.', wait);
  }

  /** Someone uses a key that has ended: worth knowing, though not each time a program tries again. */
  function note(key: KeyFacts): void {
    const now = Date.now();
    if ((failed.get(key.id) ?? 0) > now - TOUCH_EVERY_MS) return;
    failed.set(key.id, now);
    void noteAuthFailure(db, key).catch(() => failed.delete(key.id));
  }

  function touch(key: KeyFacts): void {
    const now = Date.now();
    if ((touched.get(key.id) ?? 0) > now - TOUCH_EVERY_MS) return;
    touched.set(key.id, now);
    void touchKey(db, key.id).catch(() => touched.delete(key.id));
  }

  async function callerOf(apiKey: string, address: string): Promise<Caller> {
    const wait = limiter.blocked(address);
    const shown = hash('sha256', apiKey);
    if (wait !== undefined && !proven.has(shown))
      throw tooMany('Too many failed attempts from this address; try again later.', wait);
    const key = looksLikeKey(apiKey) ? await keys.add(apiKey) : undefined;
    if (
      key === undefined ||
      key.revokedAt !== null ||
      (key.expiresAt !== null && key.expiresAt <= new Date())
    ) {
      proven.delete(shown);
      limiter.failed(address);
      if (key === undefined) throw refuse('invalid_key', 'This API key is not known.');
      note(key);
      const why = key.revokedAt !== null ? 'been revoked' : 'expired';
      throw refuse('revoked_key', `This API key has ${why}.`);
    }
    proven.add(shown);
    await refuseFlood(key);
    touch(key);
    return {
      key,
      actor: { type: 'key', id: key.id, name: key.principalName },
      onlyMailbox: key.mailboxId,
      answersKey: () => Buffer.from(hkdfSync('sha256', apiKey, '', 'postern answers to named requests', 32)),
    };
  }

  return {
    callerOf,
    async authenticate(request) {
      const shown = credentials(request);
      if (shown === 'none')
        throw refuse('missing_credentials', 'An API key is needed: send it as Authorization: Bearer <key>.');
      if (shown === 'differ') {
        limiter.failed(request.ip);
        throw refuse('invalid_key', 'Authorization and X-API-Key name different keys.');
      }
      return callerOf(shown.apiKey, request.ip);
    },
  };
}

function credentials({ headers }: FastifyRequest): { apiKey: string } | 'none' | 'differ' {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  const other = headers['x-api-key'];
  const plain = typeof other === 'string' ? other.trim() : undefined;
  if (bearer !== undefined && plain !== undefined && bearer !== plain) return 'differ';
  const apiKey = bearer ?? plain;
  return apiKey === undefined || apiKey === '' ? 'none' : { apiKey };
}

/** Throws a 403 that names the scope that is missing. `admin` satisfies every check; no other scope implies another. */
export function requireScope({ key }: Caller, access: Access): void {
  if (access === 'any' || access === 'none' || key.scopes.includes('admin')) return;
  const wanted: readonly Scope[] = typeof access === 'string' ? [access] : access;
  if (wanted.some((scope) => key.scopes.includes(scope))) return;
  throw new Problem(403, 'scope_missing', `This needs a key with the scope ${wanted.join(' or ')}.`, {
    required_scope: wanted[0],
  });
}

/** Throws a 403 for a key that is bound to one mailbox: what is asked for concerns them all. */
export function requireWhole({ onlyMailbox }: Caller): void {
  if (onlyMailbox !== null)
    throw new Problem(403, 'scope_missing', 'This needs a key that is not bound to one mailbox.');
}
