/**
 * One operation, defined once: its name, who may call it, what goes in, what comes out, and who does it.
 * The REST route and the OpenAPI entry are made from this, so no interface can disagree with another.
 */
import type { z } from 'zod';
import type { Actor } from '../core/mail/actor.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import type { KeyFacts, Scope } from '../core/store/keys.ts';
import type { Door } from './door.ts';

/** The scope a caller needs; one of several; any valid key at all; or no key. */
export type Access = Scope | readonly Scope[] | 'any' | 'none';

export interface Caller {
  key: KeyFacts;
  actor: Actor;
  /** The mailbox the key is bound to: it sees nothing else. */
  onlyMailbox: string | null;
}

export interface Call {
  runtime: Runtime;
  door: Door;
  caller: Caller;
  /** The peer's address, for the trace of what it sends. */
  address: string;
  /** The Idempotency-Key header. */
  idempotencyKey: string | undefined;
}

/** An answer that is not JSON. */
export class Raw {
  readonly body: Buffer | AsyncIterable<string>;
  readonly headers: Record<string, string>;
  constructor(body: Buffer | AsyncIterable<string>, headers: Record<string, string>) {
    this.body = body;
    this.headers = headers;
  }
}

/** An answer with another status than the operation's usual one. */
export class Answer<T> {
  readonly status: number;
  readonly body: T;
  constructor(status: number, body: T) {
    this.status = status;
    this.body = body;
  }
}

export interface Operation<I extends z.ZodObject = z.ZodObject, O extends z.ZodType = z.ZodType> {
  name: string;
  summary: string;
  area: 'emails' | 'oversight' | 'audit' | 'capture' | 'queue' | 'mailboxes' | 'keys' | 'logins';
  access: Access;
  /**
   * A key bound to one mailbox may call it: `handle` keeps what it reads and does within `caller.onlyMailbox`.
   * Where this is not said such a key is refused, whatever its scopes, so a new operation cannot forget it.
   */
  confined?: true;
  method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  /** Its `:names` are members of `input`. */
  path: string;
  status?: 200 | 201 | 202;
  input: I;
  output: O | 'raw';
  /** Unknown members are refused (422), so that a misspelt one cannot be lost. */
  strict?: boolean;
  handle(input: z.output<I>, call: Call): Promise<z.input<O> | Answer<z.input<O>> | Raw>;
}

/** Checks an operation's types where it is defined. */
export function operation<I extends z.ZodObject, O extends z.ZodType>(one: Operation<I, O>): Operation {
  return one as unknown as Operation;
}
