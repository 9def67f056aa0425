/**
 * Postern as the one who vouches for outgoing mail. What it says of those who send changes rarely, so it is kept
 * for a minute: mail on its way out asks no question of its own.
 */
import { type Draft, reputationHash, type SenderClaims, signVerifyLink } from '../mail/identity.ts';
import type { Mode } from '../mail/mode.ts';
import { readAccount } from '../store/account.ts';
import type { Database } from '../store/database.ts';
import { type ComposerFacts, readComposer, readProvedDomains } from '../store/issuer.ts';
import { baseUrlOf } from './base-url.ts';
import type { Config } from './config.ts';
import { recently } from './recently.ts';
import type { Signer } from './signer.ts';

/** Who sends a message, as its row has it. */
export interface Sender {
  kind: 'mail' | 'dsn' | 'copy' | 'notice';
  source: 'submission' | 'trusted' | 'mx' | 'rest' | 'postern';
  composerId: string | null;
  agent: string | null;
  mode: Mode;
  mailboxCreatedAt: Date;
  /** Domain of the author in From; null when there is not exactly one. */
  authorDomain: string | null;
}

export interface Issuer {
  claims(sender: Sender): Promise<SenderClaims>;
  /**
   * Makes the link by which readers of a composed message can check who sent it. What is signed of the sender is
   * settled by the call; the links that it returns a maker of need no waiting.
   */
  verifyLinks(sender: Omit<Sender, 'mode'>): Promise<(draft: Draft & { oversightMode: Mode }) => string>;
  /** The mark of the account's reputation. */
  reputation(): Promise<string>;
}

/** What is the same for all mail. */
interface House {
  tenantId: string;
  operatorName: string;
  reputation: string;
  proved: ReadonlySet<string>;
}

const KEPT_MS = 60_000;

export function openIssuer({
  config,
  database,
  signer,
}: {
  config: Config;
  database: Database;
  signer: Signer;
}): Issuer {
  const { pool } = database;
  const service = baseUrlOf(config);
  const house = recently(
    async (): Promise<House> => {
      const [account, domains] = await Promise.all([readAccount(pool), readProvedDomains(pool)]);
      return {
        tenantId: account.id,
        operatorName: account.name,
        reputation: reputationHash(account.id, account.secret),
        proved: new Set(domains.map((domain) => domain.toLowerCase())),
      };
    },
    { forMs: KEPT_MS },
  );
  const composers = recently((id: string) => readComposer(pool, id), { forMs: KEPT_MS });

  async function claims(sender: Sender): Promise<SenderClaims> {
    const { tenantId, operatorName, reputation, proved } = await house.ask('');
    const composer = sender.composerId === null ? undefined : await composers.ask(sender.composerId);
    const ai = isOfProgram(sender, composer);
    return {
      ai_generated: ai,
      capabilities: ai ? [...(composer?.mayRead === true ? ['read'] : []), 'send'] : [],
      composer: ai ? agentOf(sender, composer) : null,
      created_at: sender.mailboxCreatedAt.toISOString(),
      operator_name: operatorName,
      oversight_mode: sender.mode,
      reputation_hash: reputation,
      service,
      tenant_id: tenantId,
      verified_operator: sender.authorDomain !== null && proved.has(sender.authorDomain),
    };
  }

  return {
    claims,
    async verifyLinks(sender) {
      const [key, said] = await Promise.all([signer.current(), claims({ ...sender, mode: 'gated_all' })]);
      return ({ oversightMode, ...draft }) => {
        const token = signVerifyLink(key, draft, { ...said, oversight_mode: oversightMode }, new Date());
        return `${service}/verify#${token}`;
      };
    },
    reputation: async () => (await house.ask('')).reputation,
  };
}

/** Mail composed over the API, whoever holds the key; by SMTP, what names an agent or uses an agent's login. */
function isOfProgram({ kind, source, agent }: Sender, composer: ComposerFacts | undefined): boolean {
  if (kind !== 'mail' || source === 'postern') return false;
  return source === 'rest' || agent !== null || composer?.kind === 'agent';
}

/** Whom the credential belongs to, where that is an agent; else whom the mail names. A person is not named. */
function agentOf({ agent }: Sender, composer: ComposerFacts | undefined): string | null {
  return composer?.kind === 'agent' ? composer.name : agent;
}
