/**
 * One operation, defined once: its name, who may call it, what goes in, what comes out, and who does it.
 * The REST route, the MCP tool, the OpenAPI entry and the reference page are made from this, so no interface
 * can disagree with another. Adding one is a file in `operations/` and a line in `registry.ts`.
 */
import type { z } from 'zod';
import type { Actor } from '../core/mail/actor.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import type { KeyFacts, Scope } from '../core/store/keys.ts';
import type { Door } from './sending/door.ts';

/** The scope a caller needs; one of several; any valid key at all; or no key. */
export type Access = Scope | readonly Scope[] | 'any' | 'none';

export interface Caller {
  key: KeyFacts;
  actor: Actor;
  /** The mailbox the key is bound to: it sees nothing else. */
  onlyMailbox: string | null;
  /** Derived from the key as it was shown, for what only its holder may read; none for a caller without a key. */
  answersKey?: () => Buffer;
}

export interface Call {
  runtime: Runtime;
  door: Door;
  caller: Caller;
  /** The peer's address, for the trace of what it sends. */
  address: string;
  /** Where this Postern is reached from outside, without a slash at the end. */
  baseUrl: string;
  /** The Idempotency-Key header. */
  idempotencyKey: string | undefined;
  /** What a person was mailed and the caller now shows: the `approval_code` of the input or its header. */
  approvalCode: string | undefined;
  /** Ends when the caller has gone away: nothing needs to be waited for any longer. */
  gone: AbortSignal;
}

/** An answer that is not JSON. */
export class Raw {
  readonly body: Buffer | AsyncIterable<string | Buffer>;
  readonly headers: Record<string, string>;
  constructor(body: Buffer | AsyncIterable<string | Buffer>, headers: Record<string, string>) {
    this.body = body;
    this.headers = headers;
  }
}

/** An answer with another status than the operation's usual one, or with headers of its own. */
export class Answer<T> {
  readonly status: number;
  readonly body: T;
  readonly headers: Record<string, string>;
  constructor(status: number, body: T, headers: Record<string, string> = {}) {
    this.status = status;
    this.body = body;
    this.headers = headers;
  }
}

/** How much a person has to confirm: see operator-codes.ts. */
export type Tier = 'medium' | 'high';

/** The operation as a tool of MCP. */
export interface Tool {
  /** What the model reads about it, in a sentence or two. */
  description: string;
  /** Members of the input that the tool takes, in this order. `mailbox_id` may always be left out by its caller. */
  takes: readonly string[];
  /** Those of them that a tool must be given although the operation can do without. */
  requires?: readonly string[];
  /** Behaviour as MCP names it; what is not named is false. */
  hints: readonly ('readOnly' | 'destructive' | 'idempotent')[];
  /**
   * How the answer is told to a model: as JSON; as JSON with the warning that its fields come from outside; or with
   * the text of mail taken out and fenced, for one message or for several; or the answer's `text` alone.
   */
  tells?: 'json' | 'fields' | 'message' | 'messages' | 'text';
}

export type Area =
  | 'emails'
  | 'oversight'
  | 'audit'
  | 'capture'
  | 'queue'
  | 'mailboxes'
  | 'contacts'
  | 'suppression'
  | 'webhooks'
  | 'keys'
  | 'logins'
  | 'account'
  | 'domains'
  | 'identity'
  | 'support';

export interface Operation<I extends z.ZodObject = z.ZodObject, O extends z.ZodType = z.ZodType> {
  /** Of the tool too, and of its path `/v1/{name}`. */
  name: string;
  summary: string;
  area: Area;
  access: Access;
  /**
   * A key bound to one mailbox may call it: `handle` keeps what it reads and does within `caller.onlyMailbox`.
   * Where this is not said such a key is refused, whatever its scopes, so a new operation cannot forget it.
   */
  confined?: true;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Its `:names` are members of `input`. */
  path: string;
  status?: 200 | 201 | 202;
  /** Media types of an answer that is `raw`, for the reference. */
  media?: readonly string[];
  input: I;
  output: O | 'raw';
  /** Further statuses of success with their bodies, for the reference. */
  also?: Readonly<Record<number, z.ZodType>>;
  /** Unknown members are refused (422), so that a misspelt one cannot be lost. Elsewhere they are listed as ignored. */
  strict?: boolean;
  /** Takes a body of up to 40 MiB instead of 1. */
  large?: true;
  /** A page's form may be sent to it as well as JSON, as browsers and mail readers send one. */
  form?: true;
  /** Answers repeats of an idempotency key itself; other operations are answered from what they said first. */
  repeats?: 'own';
  /** Whether a person has to confirm this call by a code, and how much is at stake; null for not. */
  guard?(input: z.output<I>, call: Call): Promise<Tier | null>;
  /** What the caller wants, as the mail with the code says it after "asks to"; the summary when left out. */
  asks?(input: z.output<I>, call: Call): string | Promise<string>;
  tool?: Tool;
  handle(input: z.output<I>, call: Call): Promise<z.input<O> | Answer<z.input<O>> | Raw>;
}

/** Checks an operation's types where it is defined. */
export function operation<I extends z.ZodObject, O extends z.ZodType>(one: Operation<I, O>): Operation {
  return one as unknown as Operation;
}
