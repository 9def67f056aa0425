/**
 * Whether a username and a password belong together.
 *
 *   limits ─▶ the login's row ─▶ known credential? ─no─▶ Argon2 ─▶ Login, or a refusal
 *
 * The row is read each time, so a revoked login is refused at once. Argon2 is what costs; a credential that
 * was right lately is known again by its HMAC under a key of this process, for exactly the same stored hash.
 * An unknown username costs the same Argon2 as a wrong password.
 */
import { createHmac, randomBytes } from 'node:crypto';
import { REFUSALS, type Reply } from '../core/mail/reply.ts';
import type { Metrics } from '../core/runtime/metrics.ts';
import type { Db } from '../core/store/database.ts';
import { findLogin, type Login, touchLogin } from '../core/store/logins.ts';
import { hashPassword, verifyPassword } from '../core/store/passwords.ts';
import { loginLimits } from './login-limits.ts';

export interface Credentials {
  check(clientAddress: string, username: string, password: string): Promise<Login | Reply>;
}

const KNOWN = 1_000;
const KNOWN_MS = 600_000;
/** Each costs 19 MiB and a thread of the pool; more would only wait there. */
const AT_ONCE = 4;
const WAITING = 200;
const LONGEST = 1024;

export function openCredentials(options: {
  db: Db;
  metrics: Metrics;
  failuresPerAddressMinute: number;
}): Credentials {
  const { db, metrics } = options;
  const limits = loginLimits(options.failuresPerAddressMinute);
  const key = randomBytes(32);
  const known = new Map<string, number>();
  const nobodys = hashPassword(randomBytes(32).toString('hex'));
  const turns = queueOf(AT_ONCE, WAITING);

  const remember = (fingerprint: string) => {
    if (known.size >= KNOWN) known.delete(known.keys().next().value!);
    known.set(fingerprint, Date.now() + KNOWN_MS);
  };

  async function isRight(login: Login | undefined, password: string): Promise<boolean> {
    const stored = login?.passwordHash ?? (await nobodys);
    const fingerprint = createHmac('sha256', key).update(`${stored}\0${password}`).digest('base64');
    if ((known.get(fingerprint) ?? 0) > Date.now()) return login !== undefined;
    const right = await turns(() => verifyPassword(password, stored));
    if (!right || login === undefined) return false;
    remember(fingerprint);
    return true;
  }

  return {
    async check(clientAddress, username, password) {
      if (username.length > LONGEST || password.length > LONGEST) return REFUSALS.authInvalid;
      if (!limits.begin(clientAddress, username)) {
        metrics.login('throttled');
        return REFUSALS.authRateLimited;
      }
      const login = await findLogin(db, username);
      const right = await isRight(login, password);
      if (!right || login === undefined || login.revoked) {
        metrics.login('refused');
        return REFUSALS.authInvalid;
      }
      limits.succeeded(clientAddress, username);
      metrics.login('accepted');
      if (!login.mailboxActive) return REFUSALS.mailboxDisabled;
      touchLogin(db, login.id).catch(() => {}); // a convenience, not worth a refusal
      return login;
    },
  };
}

/** Runs at most `atOnce` pieces of work; throws when more than `waiting` are in line. */
function queueOf(atOnce: number, waiting: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const line: (() => void)[] = [];
  return async (work) => {
    if (running >= atOnce) {
      if (line.length >= waiting) throw new Error('too many logins at once');
      await new Promise<void>((go) => line.push(go));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = line.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}
