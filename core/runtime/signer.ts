/**
 * Signs in Postern's name. All processes share one key, which lies in the store and is made when it is first
 * needed; here it is kept, and read again when a rotation is heard of, or after a minute.
 */
import { createPrivateKey, type KeyObject } from 'node:crypto';
import { newSigningKey, publicKeyOf, type SigningKey, signToken } from '../mail/token.ts';
import type { Database } from '../store/database.ts';
import type { Listening } from '../store/listening.ts';
import { ensureSigningKey, type KeyFacts, readSigningKeys } from '../store/signing-keys.ts';

export interface Signed {
  token: string;
  kid: string;
}

/** A key that may have signed a token, without its private half. */
export interface KnownKey extends Omit<KeyFacts, 'privateKey'> {
  publicKey: KeyObject;
}

export interface Signer {
  /** A token over the payload (core/mail/token.ts), which gets the member `kid`. Rejects while the store is away. */
  sign(payload: object): Promise<Signed>;
  /** The key that signs now, for those who sign many times. */
  current(): Promise<SigningKey>;
  /** All keys that ever signed, the current one first. */
  keys(): Promise<readonly KnownKey[]>;
}

interface Kept {
  current: SigningKey;
  known: KnownKey[];
  readAt: number;
}

const FRESH_MS = 60_000;

export function openSigner(database: Database, listening: Listening): Signer {
  let kept: Kept | undefined;
  let reading: Promise<Kept> | undefined;
  let hears = false;

  function readAgain(): Promise<Kept> {
    if (!hears) {
      hears = true;
      const forget = () => {
        kept = undefined;
      };
      listening.on('signing_keys', forget);
      listening.onReconnect(forget);
    }
    reading ??= read(database)
      .then((fresh) => {
        kept = fresh;
        return fresh;
      })
      .finally(() => {
        reading = undefined;
      });
    return reading;
  }

  async function keys(): Promise<Kept> {
    if (kept === undefined) return readAgain();
    // What is kept still holds while the store is asked, or cannot be.
    if (performance.now() - kept.readAt > FRESH_MS) readAgain().catch(() => {});
    return kept;
  }

  return {
    async sign(payload) {
      const { current } = await keys();
      return { token: signToken(payload, current), kid: current.kid };
    },
    current: async () => (await keys()).current,
    keys: async () => (await keys()).known,
  };
}

async function read({ pool }: Database): Promise<Kept> {
  let rows = await readSigningKeys(pool);
  if (rows[0]?.privateKey == null) {
    await ensureSigningKey(pool, newSigningKey());
    rows = await readSigningKeys(pool);
  }
  const [first] = rows;
  if (first?.privateKey == null) throw new Error('there is no key to sign with');
  return {
    current: { kid: first.kid, privateKey: createPrivateKey(first.privateKey) },
    known: rows.map(({ privateKey: _, ...facts }) => ({ ...facts, publicKey: publicKeyOf(facts.publicJwk) })),
    readAt: performance.now(),
  };
}
