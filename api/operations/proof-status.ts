/**
 * What is claimed of this gateway and how it is checked. An installation does not run the checks itself, so it does
 * not say that they passed.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { operation } from '../operation.ts';

/** Each claim, with what in the program or its tests would notice if it did not hold. */
const PROPERTIES = [
  [
    'gated_needs_approval',
    'Where a mode asks for approval, a message is handed over only if somebody on another side than its composer approved exactly its envelope and bytes, or the allowlist covers every recipient.',
    'the statement that begins an attempt; test/fuzz/review.test.ts, test/flows/review.test.ts',
  ],
  [
    'cancel_is_final',
    'A message that was answered as cancelled is never handed over: cancelling and handing over contend for one row.',
    'test/fuzz/review.test.ts, test/unit/lifecycle.test.ts',
  ],
  [
    'nothing_forgotten',
    'What was acknowledged ends in a final state or waits for a person or an hour, whatever process dies when.',
    'test/chaos',
  ],
  [
    'audit_with_every_step',
    'Every step of a message is written to the audit log in the statement that takes it; neither happens alone.',
    'test/flows/policy.test.ts, test/flows/delivery.test.ts, test/flows/api-audit.test.ts',
  ],
  [
    'resource_ownership',
    'A path that names a resource answers for resources of this account, and of the mailbox that the key is bound to.',
    'test/flows/api-access.test.ts',
  ],
  [
    'scope_enforcement',
    'Every operation names the scope it needs, and nobody without it gets as far as having the request read.',
    'the types of the registry; test/flows/api-access.test.ts',
  ],
  [
    'read_cannot_mutate',
    'A key with read alone changes nothing but the read mark of a message, and sends nothing.',
    'test/flows/api-access.test.ts',
  ],
  [
    'admin_only_escalation',
    'admin is the only scope that stands for others.',
    'test/flows/api-access.test.ts',
  ],
  [
    'tamper_evident_ai_generated',
    'The mark that a program wrote a message is signed; changing it, or moving it to another message, is found by verification.',
    'test/unit/identity.test.ts',
  ],
] as const;

const TESTER = 'vitest';

/** As package.json names it. */
function testerVersion(): string {
  const file = new URL('../../package.json', import.meta.url);
  const { devDependencies = {} } = JSON.parse(readFileSync(file, 'utf8')) as {
    devDependencies?: Record<string, string>;
  };
  return devDependencies[TESTER] ?? 'unknown';
}

const showProofStatus = operation({
  name: 'get_proof_status',
  summary: 'What is claimed of this gateway, how it is checked, and whether that was done here',
  area: 'support',
  access: 'none',
  method: 'GET',
  path: '/v1/proof-status',
  input: z.object({}),
  output: z.object({
    status: z.enum(['checked', 'failed', 'not_run']),
    verified_at: z.string().nullable(),
    tool: z.string(),
    tool_version: z.string(),
    commit: z.string(),
    scope: z.string(),
    properties: z.array(
      z.object({ name: z.string(), statement: z.string(), checked_by: z.string(), result: z.string() }),
    ),
  }),
  async handle() {
    return {
      status: 'not_run' as const,
      verified_at: null,
      tool: TESTER,
      tool_version: testerVersion(),
      commit: 'unknown',
      scope:
        'The program is tested against the table of its steps and the protocol of its delivery; it is not proved. The tests are run on its source, not by this installation.',
      properties: PROPERTIES.map(([name, statement, checked_by]) => ({
        name,
        statement,
        checked_by,
        result: 'not_run',
      })),
    };
  },
});

export const proofStatusOperations = [showProofStatus];
