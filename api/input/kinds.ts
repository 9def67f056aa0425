/** Kinds of input that several operations take. */
import { z } from 'zod';
import { isId } from '../../core/mail/id.ts';
import { MODES } from '../../core/mail/mode.ts';
import { notFound } from '../problem.ts';
import { coded } from './faults.ts';

export const anyId = z.string().min(1).max(64).describe('Id of the resource, a ULID');

/** An id from a path. What is no id names nothing: 404, as for an id that names nothing. */
export function idOf(text: string, what: string): string {
  if (!isId(text)) throw notFound(`There is no such ${what}.`);
  return text;
}

export const mode = z.enum(MODES, {
  error: () => `must be one of ${MODES.join(', ')}`,
});

export const modeName = z
  .string()
  .refine((text) => (MODES as readonly string[]).includes(text), {
    error: `must be one of ${MODES.join(', ')}`,
    ...coded('unknown_mode'),
  })
  .meta({ description: `One of ${MODES.join(', ')}`, enum: [...MODES] });

/** A number, also as text in a query string; clamped to its range rather than refused. */
export function limit(usual: number, most: number) {
  return z.coerce
    .number({ error: 'must be a number' })
    .default(usual)
    .transform((n) => Math.min(most, Math.max(1, Math.trunc(n))))
    .describe(`How many, 1 to ${most} (${usual})`);
}

/** Several values of one filter: repeated, or with commas between. */
export const several = z
  .union([z.string(), z.array(z.string())])
  .transform((given) =>
    [given]
      .flat()
      .flatMap((text) => text.split(','))
      .map((text) => text.trim())
      .filter((text) => text !== ''),
  )
  .describe('One value, or several by comma');

/** Whether an ISO 8601 time names a day that there is: JavaScript takes the 30th of February for the 2nd of March. */
export function isMoment(text: string): boolean {
  const day = text.slice(0, 10);
  const midnight = new Date(day);
  if (Number.isNaN(Date.parse(text)) || Number.isNaN(midnight.getTime())) return false;
  return midnight.toISOString().startsWith(day);
}

/** A moment, or a date for its midnight in UTC. */
export const moment = z
  .string()
  .refine((text) => /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(text) && isMoment(text), {
    error: 'must be a date or a date-time with its offset, such as 2026-01-31 or 2026-01-31T09:00:00Z',
  })
  .transform((text) => new Date(text))
  .describe('ISO 8601 date or date-time');

export const truth = z
  .union([z.boolean(), z.number(), z.string()])
  .refine((given) => /^(true|false|1|0)$/.test(String(given)), { error: 'must be true or false' })
  .transform((given) => given === true || given === 1 || given === 'true' || given === '1');

export const tagFilter = z
  .string()
  .min(1)
  .transform((text) => {
    const equals = text.indexOf('=');
    return equals === -1
      ? { key: text, value: null as string | null }
      : { key: text.slice(0, equals), value: text.slice(equals + 1) };
  })
  .describe('A tag by its key, or key=value');

export const direction = z.enum(['inbound', 'outbound']);

export const digest = z
  .string()
  .regex(/^[0-9a-f]{64}$/i, 'must be the 64 hexadecimal digits of content_digest')
  .transform((text) => text.toLowerCase());

// What could end a line, move a cursor, or make text around it read the other way.
const UNFIT = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/u;

/** A name that people give to a key, a mailbox or a person: it is shown in lists, logs and exports. */
export const label = z
  .string()
  .trim()
  .min(1)
  .max(200)
  .refine((text) => !UNFIT.test(text), { error: 'line breaks and control characters are not allowed here' });
