/** Where a page of a list begins: a cursor, opaque to callers and the last id of a page to us, or an offset. */
import { z } from 'zod';
import { firstIdAt, isId } from '../../core/mail/id.ts';
import { invalid, Problem } from '../problem.ts';

/** Where a page begins; of the three at most one is not null. */
export interface Place {
  /** After this id in the order of the list. */
  afterId: string | null;
  /** With what was received before this moment: how some clients write a cursor of their own. */
  before: Date | null;
  /** After so many items. */
  offset: number | null;
}

const MOST_OFFSET = 10_000;
/** No later moment fits into a Date. */
const LAST_MS = 8.64e15;

export function cursorOf(id: string): string {
  return Buffer.from(`after ${id}`).toString('base64url');
}

/** The id a cursor names. A made-up one is told so. */
export function afterCursor(cursor: string | undefined): string | null {
  if (cursor === undefined || cursor === '') return null;
  const id = /^after (.*)$/.exec(Buffer.from(cursor, 'base64url').toString())?.[1];
  if (id === undefined || !isId(id))
    throw new Problem(400, 'invalid_cursor', 'This cursor was not given out here.', { field: 'cursor' });
  return id;
}

/** The members of an input by which a list is paged, for `placeOf`. */
export const paging = {
  cursor: z.string().max(200).optional().describe('The cursor of the page before'),
  offset: z.coerce
    .number()
    .int()
    .min(0)
    .max(MOST_OFFSET)
    .optional()
    .describe(`How many to pass over, at most ${MOST_OFFSET}; in place of cursor`),
};

/** Reads them: a cursor of ours, a number for `received_at` in epoch milliseconds, or an offset; never two. */
export function placeOf(given: { cursor?: string | undefined; offset?: number | undefined }): Place {
  const { cursor, offset } = given;
  const nowhere: Place = { afterId: null, before: null, offset: null };
  if (cursor !== undefined && cursor !== '' && offset !== undefined)
    throw invalid(400, 'conflicting_fields', [
      { field: 'cursor', message: 'cursor and offset exclude each other' },
    ]);
  if (offset !== undefined) return { ...nowhere, offset };
  if (cursor !== undefined && /^\d+$/.test(cursor)) {
    if (Number(cursor) > LAST_MS)
      throw new Problem(400, 'invalid_cursor', 'This cursor is no moment in time.', { field: 'cursor' });
    return { ...nowhere, before: new Date(Number(cursor)) };
  }
  return { ...nowhere, afterId: afterCursor(cursor) };
}

/** The same for a list in the order of its ids, newest first: a moment is then a place among them. */
export function placeByIds(given: { cursor?: string | undefined; offset?: number | undefined }): {
  after: string | null;
  offset: number;
} {
  const { afterId, before, offset } = placeOf(given);
  return { after: before === null ? afterId : firstIdAt(before.getTime()), offset: offset ?? 0 };
}

/** The same for a list whose cursors name a place by a number, as `placeIn` reads it. */
export function placeAmong(
  { cursor, offset }: { cursor?: string | undefined; offset?: number | undefined },
  placeIn: (cursor: string) => number | undefined,
): { beyond: number | null; before: Date | null; offset: number } {
  const ours = cursor === undefined || cursor === '' ? undefined : placeIn(cursor);
  if (ours !== undefined && offset === undefined) return { beyond: ours, before: null, offset: 0 };
  const place = placeOf({ cursor: ours === undefined ? cursor : 'given', offset });
  if (place.afterId !== null)
    throw new Problem(400, 'invalid_cursor', 'This cursor was not given out here.', { field: 'cursor' });
  return { beyond: null, before: place.before, offset: place.offset ?? 0 };
}
