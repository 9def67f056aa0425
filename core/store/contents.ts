import type { Db } from './database.ts';

/**
 * Bytes on their way through one process. What the door has just written is usually sent by the delivery
 * room of the same process a moment later, so the last bytes written or read are kept; a miss asks
 * PostgreSQL, which alone is the truth.
 */
export interface ContentCache {
  put(id: string, bytes: Buffer): void;
  take(id: string): Buffer | undefined;
}

export function contentCache(maxBytes = 64 << 20): ContentCache {
  const kept = new Map<string, Buffer>();
  let total = 0;
  return {
    put(id, bytes) {
      if (bytes.length > maxBytes / 8 || kept.has(id)) return;
      kept.set(id, bytes);
      total += bytes.length;
      for (const [oldest, dropped] of kept) {
        if (total <= maxBytes) break;
        kept.delete(oldest);
        total -= dropped.length;
      }
    },
    take(id) {
      const bytes = kept.get(id);
      if (bytes === undefined) return undefined;
      kept.delete(id);
      total -= bytes.length;
      return bytes;
    },
  };
}

/** The bytes of the contents named, by id. An id without a row is missing from the answer. For small ones. */
export async function readContents(db: Db, ids: string[]): Promise<Map<string, Buffer>> {
  // As hexadecimal text: pg reads every column as UTF-8 text, so a binary answer would arrive damaged.
  const { rows } = await db.query<{ id: string; bytes: Buffer }>({
    name: 'read-contents',
    text: 'select id, bytes from contents where id = any($1::text[])',
    values: [ids],
  });
  return new Map(rows.map(({ id, bytes }) => [id, bytes]));
}

/** `length` bytes of one content from `at` on; fewer at its end, undefined when there is no such content. */
export async function readSlice(db: Db, id: string, at: number, length: number): Promise<Buffer | undefined> {
  const { rows } = await db.query<{ slice: Buffer }>({
    name: 'read-slice',
    text: 'select substring(bytes from $2::int for $3::int) as slice from contents where id = $1',
    values: [id, at + 1, length],
  });
  return rows[0]?.slice;
}

const SLICE = 4 << 20;

/** One large content, read in slices so that it is never in memory twice; undefined when there is none. */
export async function readLargeContent(db: Db, id: string, size: number): Promise<Buffer | undefined> {
  const whole = Buffer.allocUnsafe(size);
  for (let from = 0; from < size; from += SLICE) {
    const { rows } = await db.query<{ slice: Buffer; size: number }>({
      name: 'read-content-slice',
      text: 'select substring(bytes from $2::int for $3::int) as slice, size from contents where id = $1',
      values: [id, from + 1, SLICE],
    });
    const row = rows[0];
    if (row === undefined || row.size !== size) return undefined;
    row.slice.copy(whole, from);
  }
  return whole;
}

/** The CTE that stores the bodies of $bytes, cut as the JSON rows of $index say; all of them, or none `where` false. */
export function insertContents(index: string, bytes: string, where = 'true'): string {
  return `bodies as (select * from json_to_recordset(${index}::json) as t(id text, sha256 text, at int, size int)),
  new_contents as (
    insert into contents (id, sha256, size, bytes)
    select id, decode(sha256, 'hex'), size, substring(${bytes}::bytea from at for size)
      from bodies where ${where})`;
}

/**
 * Several bodies as the two parameters `insertContents` reads: one JSON index and one Buffer, because a
 * Buffer parameter travels in binary, while an array of bytea would travel as hexadecimal.
 */
export function packContents(contents: { id: string; sha256: Buffer; bytes: Buffer }[]): [string, Buffer] {
  let at = 1;
  const index = contents.map(({ id, sha256, bytes }) => {
    const row = { id, sha256: sha256.toString('hex'), at, size: bytes.length };
    at += bytes.length;
    return row;
  });
  const bodies = contents.map(({ bytes }) => bytes);
  return [JSON.stringify(index), bodies.length === 1 ? bodies[0]! : Buffer.concat(bodies)];
}
