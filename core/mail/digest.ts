/**
 * The digest an approval is bound to: it names one envelope with one content, and nothing else.
 *
 *   SHA-256( "postern message 1" · reversePath · count · forwardPath … · content SHA-256 )
 *
 * Every part is preceded by its length, so that no two different messages spell the same input.
 */
import { createHash, hash } from 'node:crypto';

const DOMAIN = 'postern message 1';

export interface DigestedMessage {
  reversePath: string;
  forwardPaths: readonly string[];
  contentSha256: Uint8Array;
}

/** SHA-256 of the stored bytes. */
export function contentSha256(bytes: Uint8Array): Buffer {
  return hash('sha256', bytes, 'buffer');
}

/**
 * The digest in 64 hexadecimal digits. Order and repetition of the forward paths do not change it:
 * they change nothing about who receives what. The paths are expected in canonical form.
 */
export function messageDigest({ reversePath, forwardPaths, contentSha256 }: DigestedMessage): string {
  if (contentSha256.length !== 32) throw new Error('a content SHA-256 has 32 bytes');
  const paths = [...new Set(forwardPaths)].sort();
  const parts = [Buffer.from(DOMAIN), Buffer.from(reversePath), countOf(paths.length)];
  for (const path of paths) parts.push(Buffer.from(path));
  const sha = createHash('sha256');
  for (const part of parts) sha.update(countOf(part.length)).update(part);
  return sha.update(contentSha256).digest('hex');
}

function countOf(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
}
