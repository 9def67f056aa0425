/** The keys by which identities of mail are checked: our own, and those the configuration names. */

import { publicKeyOf } from '../core/mail/token.ts';
import {
  type KeyRing,
  type SenderIdentity,
  senderIdentity,
  type TrustedKey,
} from '../core/mail/verify-identity.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import type { KnownKey } from '../core/runtime/signer.ts';
import { GRACE_MS } from '../core/store/signing-keys.ts';

/** When the last process has heard that the key is retired; null while it signs. */
export function notAfter({ retiredAt }: Pick<KnownKey, 'retiredAt'>): Date | null {
  return retiredAt === null ? null : new Date(retiredAt.getTime() + GRACE_MS);
}

/** All keys that ever were ours. */
export async function ownKeys({ signer }: Pick<Runtime, 'signer'>): Promise<KeyRing> {
  const known = new Map((await signer.keys()).map((key) => [key.kid, key]));
  return (kid) => {
    const key = known.get(kid);
    return key && { key: key.publicKey, notAfter: notAfter(key), service: null };
  };
}

/** What mail that came in says of its sender; null when it says nothing. */
export async function senderIdentityOf(
  runtime: Pick<Runtime, 'signer' | 'config'>,
  bytes: Buffer,
): Promise<SenderIdentity | null> {
  const own = await ownKeys(runtime);
  return senderIdentity(bytes, (kid) => own(kid) ?? trusted(runtime.config.identity.trusted_issuers, kid));
}

type Issuers = Runtime['config']['identity']['trusted_issuers'];

function trusted(issuers: Issuers, kid: string): TrustedKey | undefined {
  for (const { service, keys } of issuers) {
    const found = keys.find((key) => key.kid === kid);
    if (found !== undefined)
      return { key: publicKeyOf(found), notAfter: null, service: service.replace(/\/+$/, '') };
  }
  return undefined;
}
