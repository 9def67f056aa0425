/**
 * Why a person has to look at a message before it leaves, in words for that person.
 *
 * A rule asks one question of the facts and answers with a reason, or with nothing. All of them are asked,
 * so that whoever approves has seen every reason.
 */
import type { ComposedFacts } from '../core/compose/stored.ts';
import { displayAddress } from '../core/mail/address.ts';
import type { Facts } from '../core/mail/facts.ts';
import { isGated, isMode, type Mode, strictest } from '../core/mail/mode.ts';
import { mixedScript } from '../core/mail/script.ts';
import type { Case } from '../core/store/judging.ts';

export type Rule = (facts: Case) => string | undefined;

/** The rules of outbound mail. */
export const RULES: readonly Rule[] = [
  modeIsUnknown,
  modeAsksForReview,
  recipientMixesScripts,
  senderNameIsAnAddress,
];

/**
 * Asks every rule. One that throws has not said that the mail may go: that too is a reason to look.
 */
export function reasonsToHold(facts: Case, rules: readonly Rule[] = RULES): string[] {
  return rules.flatMap((rule) => {
    try {
      return rule(facts) ?? [];
    } catch {
      return `the rule ${rule.name} could not be evaluated, and what cannot be judged is held`;
    }
  });
}

/**
 * The strictest of what the mailbox and the caller ask for (api: tighten only). A mode we do not know may mean
 * anything, so it counts as the strictest one that a reviewer can still answer.
 */
export function effectiveMode({ mailboxMode, requestedMode }: Case): Mode {
  const asked = [mailboxMode, ...(requestedMode === null ? [] : [requestedMode])];
  const known = asked.filter((mode) => isMode(mode));
  return strictest(known.length === asked.length ? 'autonomous' : 'gated_all', ...known);
}

function modeIsUnknown({ mailboxMode, requestedMode }: Case): string | undefined {
  const unknown = [mailboxMode, requestedMode].find((mode) => mode !== null && !isMode(mode));
  return unknown == null ? undefined : `the oversight mode "${unknown}" is unknown`;
}

function modeAsksForReview(facts: Case): string | undefined {
  const { mailboxMode, requestedMode, allowlisted, mailboxAddress } = facts;
  const mode = effectiveMode(facts);
  if (modeIsUnknown(facts) !== undefined || !isGated(mode) || allowlistAnswers(facts)) return undefined;
  return mode === mailboxMode && !(allowlisted && mode === requestedMode)
    ? `mail from ${displayAddress(mailboxAddress)} needs approval (${mode})`
    : `the sender asked for a review of this message (${requestedMode})`;
}

/** The allowlist speaks for a mailbox in `gated_send`, unless the request asked for as much itself. */
function allowlistAnswers(facts: Case): boolean {
  const { requestedMode } = facts;
  return (
    facts.allowlisted === true &&
    facts.mailboxMode === 'gated_send' &&
    effectiveMode(facts) === 'gated_send' &&
    (requestedMode === null || (isMode(requestedMode) && !isGated(requestedMode)))
  );
}

function recipientMixesScripts({ forwardPaths }: Case): string | undefined {
  const odd = forwardPaths.filter(mixedScript);
  return odd.length === 0
    ? undefined
    : `letters of different scripts stand together and may imitate another address: ${some(odd.map(bothSpellings))}`;
}

function senderNameIsAnAddress({ facts }: Case): string | undefined {
  const { nameLooksLikeAddress, from } = (facts ?? {}) as Facts;
  if (typeof nameLooksLikeAddress !== 'boolean') throw new Error('the header was not read');
  if (!nameLooksLikeAddress) return undefined;
  const [shown] = from;
  return `the name in From reads like another address: "${shown?.name}" <${shown?.address}>`;
}

/**
 * What a reviewer should know but nobody is held for: who gets the mail without being named in its header
 * (RFC 5321 §7.2: the header never routes mail), and files whose names were made clean.
 */
export function notes({ facts, forwardPaths }: Case): string[] {
  const { to, cc, alteredNames = [] } = (facts ?? {}) as ComposedFacts;
  if (!Array.isArray(to) || !Array.isArray(cc)) return [];
  const named = new Set([...to, ...cc].map(({ address }) => address.toLowerCase()));
  const unnamed = forwardPaths.filter((path) => !named.has(path.toLowerCase()));
  const sent = new Set(forwardPaths.map((path) => path.toLowerCase()));
  const unsent = [...named].filter((address) => !sent.has(address));
  return [
    ...(unnamed.length > 0
      ? [`note: also goes to ${some(unnamed.map(displayAddress))}, named in neither To nor Cc`]
      : []),
    ...(alteredNames.length > 0
      ? [`note: attached files had names that could mislead, and are now called ${some(alteredNames)}`]
      : []),
    ...(unsent.length > 0
      ? [`note: the header names ${some(unsent.map(displayAddress))}, to whom it does not go`]
      : []),
  ];
}

function bothSpellings(address: string): string {
  const shown = displayAddress(address);
  return shown === address ? address : `${shown} (${address})`;
}

/** A hundred addresses would hide the ones that matter. */
function some(texts: string[]): string {
  return texts.length <= 5
    ? texts.join(', ')
    : `${texts.slice(0, 5).join(', ')} and ${texts.length - 5} more`;
}
