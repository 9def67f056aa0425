/** What mail from outside says of its sender is checked while it is in memory, and put among its facts. */
import { senderIdentity } from '../core/mail/sender-identity.ts';
import { hasIdentity } from '../core/mail/verify-identity.ts';
import { ownKeys, trustedKeys } from '../core/runtime/key-ring.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import type { Inspected } from './inspect.ts';

/** The message with what came of the check; rejects when the store is away, for then our own keys are unknown. */
export type Identities = (inspected: Inspected) => Promise<Inspected>;

export function openIdentities({ config, signer }: Pick<Runtime, 'config' | 'signer'>): Identities {
  const trusted = trustedKeys(config);
  return async (inspected) => {
    const { raw, block, facts } = inspected;
    if (!hasIdentity(block)) return inspected;
    const own = await ownKeys(signer);
    const found = senderIdentity(raw, (kid) => own(kid) ?? trusted(kid), block);
    return found === null ? inspected : { ...inspected, facts: { ...facts, senderIdentity: found } };
  };
}
