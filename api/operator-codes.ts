/** What a person has to confirm: the same call passes once it shows the code that was mailed to them. */
import type { Answer, Call, Operation, Tier } from './operation.ts';
import { Problem } from './problem.ts';

/** Undefined when the call may go on; else the 202 that says a code was mailed. Throws where the code is wrong. */
export async function confirmed(
  _operation: Operation,
  _tier: Tier,
  _input: Record<string, unknown>,
  _call: Call,
): Promise<Answer<Record<string, unknown>> | undefined> {
  throw new Problem(409, 'no_oversight_address', 'There is no oversight address to which a code could go.');
}
