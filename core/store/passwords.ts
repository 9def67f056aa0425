/**
 * Passwords of logins, kept as Argon2id in the PHC string format (RFC 9106):
 *
 *   $argon2id$v=19$m=19456,t=2,p=1$<salt>$<tag>
 */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';

const MEMORY_KIB = 19_456;
const PASSES = 2;
const LANES = 1;
const PHC =
  /^\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$([A-Za-z0-9+/]{11,86})\$([A-Za-z0-9+/]{22,86})$/;

/** A new hash, with a salt of its own. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const tag = await derive(password, salt, { memory: MEMORY_KIB, passes: PASSES, lanes: LANES, length: 32 });
  return `$argon2id$v=19$m=${MEMORY_KIB},t=${PASSES},p=${LANES}$${plain(salt)}$${plain(tag)}`;
}

/**
 * Whether the password is the one hashed. Costs the same whatever the answer; a hash that cannot be read is
 * nobody's password.
 */
export async function verifyPassword(password: string, phc: string): Promise<boolean> {
  const [, memory, passes, lanes, salt, tag] = PHC.exec(phc) ?? [];
  if (tag === undefined) return false;
  const expected = Buffer.from(tag, 'base64');
  const costs = { memory: Number(memory), passes: Number(passes), lanes: Number(lanes) };
  const found = await derive(password, Buffer.from(salt!, 'base64'), { ...costs, length: expected.length });
  return timingSafeEqual(found, expected);
}

interface Costs {
  memory: number;
  passes: number;
  lanes: number;
  length: number;
}

function derive(password: string, salt: Buffer, { memory, passes, lanes, length }: Costs): Promise<Buffer> {
  const message = Buffer.from(password.normalize('NFC'));
  return new Promise((resolve, reject) => {
    argon2(
      'argon2id',
      { message, nonce: salt, memory, passes, parallelism: lanes, tagLength: length },
      (err, tag) => (err === null ? resolve(tag) : reject(err)),
    );
  });
}

function plain(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}
