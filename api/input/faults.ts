/** What zod found wrong, in our words and codes. */
import type { z } from 'zod';
import { type Fault, invalid, type Problem } from '../problem.ts';

/** So many are told; nobody mends more at once. */
const TOLD = 20;

/** The answer to input that does not fit its definition. An issue may name its own code: see `coded`. */
export function faultsOf(error: z.ZodError): Problem {
  const unknown = error.issues.filter((issue) => issue.code === 'unrecognized_keys');
  // Within a list, as in an attachment that names a path instead of bringing its content, it is told first.
  const within = unknown.some(({ path }) => path.length > 0);
  if (unknown.length > 0 && (within || unknown.length === error.issues.length))
    return invalid(
      422,
      'unknown_field',
      unknown
        .flatMap(({ keys, path }) =>
          keys.map((key) => ({
            field: [...path, key.slice(0, 100)].join('.'),
            message: 'there is no such field',
          })),
        )
        .slice(0, TOLD),
    );
  const issues = error.issues.filter((issue) => issue.code !== 'unrecognized_keys');
  const first = issues[0]!;
  const coded = (first as { params?: { status?: 400 | 422; code?: string } }).params;
  return invalid(coded?.status ?? 400, coded?.code ?? codeOf(first), issues.slice(0, TOLD).map(faultOf));
}

/** Needs the input in the issue: `safeParse(…, { reportInput: true })`. */
function codeOf(issue: z.core.$ZodIssue): string {
  const absent =
    issue.input === undefined && ['invalid_type', 'invalid_union', 'invalid_value'].includes(issue.code);
  return absent ? 'missing_field' : 'invalid_field';
}

function faultOf(issue: z.core.$ZodIssue): Fault {
  const field = issue.path.join('.');
  return { field, message: codeOf(issue) === 'missing_field' ? 'is missing' : issue.message };
}

/** The `params` by which a custom issue says which code and status it becomes. */
export function coded(
  code: string,
  status: 400 | 422 = 400,
): { params: { code: string; status: 400 | 422 } } {
  return { params: { code, status } };
}
