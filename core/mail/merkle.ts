/**
 * A Merkle tree over hashes, as in RFC 9162 §2.1.1 but for its leaves, which are taken as they are given: one root
 * stands for all of them in their order, and a short path shows that one of them is among them.
 *
 *   node = SHA-256( 0x01 ‖ left ‖ right )     the last of an odd row goes up as it is
 */
import { createHash } from 'node:crypto';

/** What a hash is put together with on the way to the root. */
export interface Neighbour {
  side: 'left' | 'right';
  hash: Buffer;
}

const NODE = Buffer.from([1]);

/** The root over at least one leaf. */
export function rootOf(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 0) throw new Error('a tree has at least one leaf');
  let row = leaves;
  while (row.length > 1) row = above(row);
  return row[0]!;
}

/** The way from the leaf at `index` to the root. */
export function pathOf(leaves: readonly Buffer[], index: number): Neighbour[] {
  const path: Neighbour[] = [];
  let row = leaves;
  for (let at = index; row.length > 1; at >>= 1, row = above(row)) {
    const hash = row[at ^ 1];
    if (hash !== undefined) path.push({ side: at % 2 === 1 ? 'left' : 'right', hash });
  }
  return path;
}

/** The root that a leaf with this path would be under. */
export function rootAlong(leaf: Buffer, path: readonly Neighbour[]): Buffer {
  return path.reduce(
    (hash, next) => (next.side === 'left' ? node(next.hash, hash) : node(hash, next.hash)),
    leaf,
  );
}

function above(row: readonly Buffer[]): Buffer[] {
  const next: Buffer[] = [];
  for (let i = 0; i < row.length; i += 2)
    next.push(i + 1 < row.length ? node(row[i]!, row[i + 1]!) : row[i]!);
  return next;
}

function node(left: Buffer, right: Buffer): Buffer {
  return createHash('sha256').update(NODE).update(left).update(right).digest();
}
