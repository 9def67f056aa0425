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

/** The bytes of the contents named, by id. An id without a row is missing from the answer. */
export async function readContents(db: Db, ids: string[]): Promise<Map<string, Buffer>> {
  // Binary, because a bytea as text is hexadecimal: twice the bytes and a decode for each.
  const { rows } = await db.query<{ id: string; bytes: Buffer }>({
    name: 'read-contents',
    text: 'select id::text as id, bytes from contents where id = any($1::text[])',
    values: [ids],
    binary: true,
  } as never);
  return new Map(rows.map(({ id, bytes }) => [id, bytes]));
}

/** The CTE that stores the bodies of $bytes, cut as the JSON rows of $index say. */
export function insertContents(index: string, bytes: string): string {
  return `bodies as (select * from json_to_recordset(${index}::json) as t(id text, sha256 text, at int, size int)),
  new_contents as (
    insert into contents (id, sha256, size, bytes)
    select id, decode(sha256, 'hex'), size, substring(${bytes}::bytea from at for size) from bodies)`;
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
