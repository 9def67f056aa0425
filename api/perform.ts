/**
 * One call of one operation, whichever interface it came by:
 *
 *   may the caller? ─▶ read the input ─▶ has a person confirmed it, where one must? ─▶ do it ─▶ tell what came of it
 */
import type { z } from 'zod';
import { requireScope, requireWhole } from './authentication.ts';
import { faultsOf } from './faults.ts';
import { Answer, type Call, type Caller, type Operation, Raw } from './operation.ts';
import { confirmed } from './operator-codes.ts';
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
  const { input, ignored } = readInput(one, given);
  const tier = (await one.guard?.(input, call)) ?? null;
  const pending = tier === null ? undefined : await confirmed(one, tier, input, call);
  const answer = pending ?? (await one.handle(input, call));
  return tell(one, answer, ignored);
}

function readInput(
  one: Operation,
  given: Record<string, unknown>,
): { input: Record<string, unknown>; ignored: string[] } {
  const schema = one.strict ? one.input.strict() : one.input;
  const parsed = schema.safeParse(given, { reportInput: true });
  if (!parsed.success) throw faultsOf(parsed.error);
  const input = parsed.data as Record<string, unknown>;
  const broken = brokenText(input, []);
  if (broken !== undefined)
    throw invalid(422, 'invalid_text', [
      { field: broken.join('.'), message: 'holds NUL or half a character' },
    ]);
  const ignored = Object.keys(given).filter((name) => !Object.hasOwn(one.input.shape, name));
  return { input, ignored };
}

/** Where a text of the input holds NUL or half a character, which PostgreSQL has no way to store or compare. */
function brokenText(value: unknown, path: string[]): string[] | undefined {
  if (typeof value === 'string') return value.includes('\0') || !value.isWellFormed() ? path : undefined;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return undefined;
  for (const [name, child] of Object.entries(value)) {
    const found = brokenText(child, [...path, name]);
    if (found !== undefined) return found;
  }
  return undefined;
}

function tell(one: Operation, answer: unknown, ignored: string[]): Done {
  if (answer instanceof Raw) return { status: one.status ?? 200, headers: answer.headers, body: answer };
  const { status, body, headers } =
    answer instanceof Answer ? answer : { status: one.status ?? 200, body: answer, headers: {} };
  const shape = (one.also?.[status] ?? one.output) as z.ZodType | 'raw';
  // Parsed on the way out as well: a member that the definition does not name is not told.
  const told = shape === 'raw' ? body : (shape.parse(body) as object);
  return {
    status,
    headers,
    body: ignored.length > 0 ? { ...(told as object), ignored_fields: ignored } : told,
  };
}
