/**
 * What Postern puts on top of a message as it leaves: who answers for it, whether a program wrote it, and the
 * reputation of the account. The stored bytes stay as they were approved; this is outside their digest, and made
 * anew for each attempt, when it is known who let the message go.
 */

import { parseHeaders } from '../core/mail/headers.ts';
import { type ApprovalClaim, authorDomain, signIdentity } from '../core/mail/identity.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import type { Claim } from '../core/store/claiming.ts';

/** The marks of a message, each field with its CRLF. Rejects while the store is away and nothing is known. */
export type Marker = (claim: Claim, bytes: Buffer) => Promise<Buffer>;

const NONE = Buffer.alloc(0);
const LINE = 76;
const MARKED: readonly Claim['kind'][] = ['mail', 'notice'];

export function openMarker({ issuer, signer }: Pick<Runtime, 'issuer' | 'signer'>): Marker {
  return async (claim, bytes) => {
    // A copy is the overseer's own; a report speaks of other mail and is nobody's.
    if (!MARKED.includes(claim.kind)) return NONE;
    const block = parseHeaders(bytes);
    const { kind, source, composerId, agent, mailboxCreatedAt } = claim;
    const [key, sender] = await Promise.all([
      signer.current(),
      issuer.claims({
        kind,
        source,
        composerId,
        agent,
        mailboxCreatedAt,
        mode: claim.effectiveMode ?? 'autonomous',
        authorDomain: authorDomain(block),
      }),
    ]);
    const token = signIdentity(key, { bytes, block }, sender, approvalOf(claim), new Date());
    const generated = sender.ai_generated ? 'X-AI-Generated: true\r\n' : '';
    const reputation = `X-MultiMail-Reputation: ${sender.reputation_hash}\r\n`;
    return Buffer.from(`${identityField(token)}${generated}${reputation}`, 'latin1');
  };
}

/** Folded: a line has at most 998 octets, and 78 is better (RFC 5322 §2.1.1). */
function identityField(token: string): string {
  const lines = ['X-MultiMail-Identity:'];
  for (let at = 0; at < token.length; at += LINE) lines.push(token.slice(at, at + LINE));
  return `${lines.join('\r\n ')}\r\n`;
}

function approvalOf({ releasedBy, approval, queuedAt }: Claim): ApprovalClaim | null {
  if (approval !== null) return { at: approval.at.toISOString(), by: 'person', ref: approval.id };
  return releasedBy === 'allowlist' ? { at: queuedAt.toISOString(), by: 'allowlist', ref: null } : null;
}
