/** Which policy is in force: its code and its settings, in one hash, so that the audit log can name it. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { canonicalJson } from '../core/mail/token.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { RULES } from './reasons.ts';

const CODE = ['./decide.ts', './reasons.ts', '../core/mail/mode.ts'];

/** Equal for two processes exactly when they would judge alike; `rules` is for people. */
export function policyInForce({ config }: Pick<Runtime, 'config'>): { hash: string; rules: string[] } {
  const sha = createHash('sha256').update(canonicalJson(config.oversight));
  for (const file of CODE) sha.update(readFileSync(new URL(file, import.meta.url)));
  return { hash: sha.digest('hex'), rules: RULES.map(({ name }) => name) };
}
