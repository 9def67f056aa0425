/** Cursors: opaque to callers, the last id of a page to us. */
import { isId } from '../core/mail/id.ts';
import { Problem } from './problem.ts';

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
