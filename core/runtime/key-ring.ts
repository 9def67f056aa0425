/** The keys by which identities of mail are checked: our own, and those the configuration names. */
import { publicKeyOf } from '../mail/token.ts';
import type { KeyRing, TrustedKey } from '../mail/verify-identity.ts';
import { GRACE_MS } from '../store/signing-keys.ts';
import type { Config } from './config.ts';
import type { KnownKey, Signer } from './signer.ts';

/** When the last process has heard that the key is retired; null while it signs. */
export function notAfter({ retiredAt }: Pick<KnownKey, 'retiredAt'>): Date | null {
  return retiredAt === null ? null : new Date(retiredAt.getTime() + GRACE_MS);
}

/** All keys that ever were ours. */
export async function ownKeys(signer: Signer): Promise<KeyRing> {
  const known = new Map((await signer.keys()).map((key) => [key.kid, key]));
  return (kid) => {
    const key = known.get(kid);
    return key && { key: key.publicKey, notAfter: notAfter(key), service: null };
  };
}

/** Those that the configuration names, each for its own service alone. */
export function trustedKeys({ identity }: Pick<Config, 'identity'>): KeyRing {
  const ring = new Map<string, TrustedKey>();
  for (const { service, keys } of identity.trusted_issuers)
    for (const key of keys)
      ring.set(key.kid, { key: publicKeyOf(key), notAfter: null, service: service.replace(/\/+$/, '') });
  return (kid) => ring.get(kid);
}
