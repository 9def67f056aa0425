/**
 * One call of one operation, whichever interface it came by:
 *
 *   may the caller? ─▶ translate and read the input ─▶ find the mailbox ─▶ is it a repeat?
 *                   ─▶ has a person confirmed it, where one must? ─▶ do it ─▶ tell what came of it
 */
import type { z } from 'zod';
import { callsOf } from '../core/store/usage.ts';
import { requireScope, requireWhole } from './access/authentication.ts';
import { confirmed } from './access/operator-codes.ts';
import { isNamed, type Outcome, once } from './access/repeats.ts';
import { canonical } from './dialects/fields.ts';
import { mailboxNames, meantMailbox, needsMailbox } from './dialects/mailbox.ts';
import { faultsOf } from './input/faults.ts';
import { textFault } from './input/texts.ts';
import { Answer, type Call, type Caller, type Operation, Raw } from './operation.ts';
import { invalid } from './problem.ts';

/** What came of a call: a JSON value, or bytes of another kind. */
export interface Done {
  status: number;
  headers: Record<string, string>;
  body: unknown;
}

/** Throws the 403 that the caller deserves; before its request is read any further. */
export function permit(one: Operation, caller: Caller): void {
  requireScope(caller, one.access);
  if (one.confined !== true && one.access !== 'none') requireWhole(caller);
}

/** Carries out one call. Throws the Problem it deserves. `given` is the input as it came, path members included. */
export async function perform(one: Operation, given: Record<string, unknown>, call: Call): Promise<Done> {
  permit(one, call.caller);
  if (one.access !== 'none') callsOf(call.runtime.database.pool).add();
  const asked = mailboxNames(one, given);
  const { input, ignored } = readInput(one, canonical(one, asked.given));
  if (needsMailbox(one)) input.mailbox_id = await meantMailbox(asked, input, call);
  const run = (began?: () => void) => carryOut(one, input, ignored, call, began);
  return isNamed(one, call) ? once(one, input, call, run) : (await run()).done;
}

async function carryOut(
  one: Operation,
  input: Record<string, unknown>,
  ignored: string[],
  call: Call,
  began?: () => void,
): Promise<Outcome> {
  const tier = (await one.guard?.(input, call)) ?? null;
  const pending = tier === null ? undefined : await confirmed(one, tier, input, call);
  if (pending !== undefined) return { done: pending, carriedOut: false };
  began?.();
  return { done: tell(one, await one.handle(input, call), ignored), carriedOut: true };
}

const strict = new WeakMap<Operation, z.ZodType>();

/** Made once for each operation: the first reading compiles a schema, which costs more than all later ones together. */
function schemaOf(one: Operation): z.ZodType {
  if (!one.strict) return one.input;
  const known = strict.get(one) ?? one.input.strict();
  strict.set(one, known);
  return known;
}

function readInput(
  one: Operation,
  given: Record<string, unknown>,
): { input: Record<string, unknown>; ignored: string[] } {
  const parsed = schemaOf(one).safeParse(given, { reportInput: true });
  const problem = parsed.success ? undefined : faultsOf(parsed.error);
  const fault = textFault(given);
  // What ends a line in a header field is the graver charge, and NUL may be that too.
  if (fault !== undefined && problem?.code !== 'header_injection')
    throw invalid(fault.code === 'invalid_text' ? 422 : 400, fault.code, [fault]);
  if (!parsed.success) throw problem;
  const ignored = Object.keys(given).filter((name) => !Object.hasOwn(one.input.shape, name));
  return { input: parsed.data as Record<string, unknown>, ignored };
}

/** So many and so much of ignored names is told; the rest would only repeat the request. */
const TOLD = 20;
const NAME = 100;

function tell(one: Operation, answer: unknown, ignored: string[]): Done {
  if (answer instanceof Raw) return { status: one.status ?? 200, headers: answer.headers, body: answer };
  const { status, body, headers } =
    answer instanceof Answer ? answer : { status: one.status ?? 200, body: answer, headers: {} };
  if (body instanceof Raw) return { status, headers: { ...body.headers, ...headers }, body };
  const shape = (one.also?.[status] ?? one.output) as z.ZodType | 'raw';
  // Parsed on the way out as well: a member that the definition does not name is not told.
  const told = (shape === 'raw' ? body : shape.parse(body)) as { ignored_fields?: string[] };
  if (ignored.length === 0) return { status, headers, body: told };
  const names = ignored.slice(0, TOLD).map((name) => name.slice(0, NAME));
  return { status, headers, body: { ...told, ignored_fields: [...(told.ignored_fields ?? []), ...names] } };
}
