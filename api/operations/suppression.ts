/** Addresses that get no more mail, until somebody lifts that here. */
import { z } from 'zod';
import { parseAddress } from '../../core/mail/address.ts';
import { listSuppressions, removeSuppression, type Suppression } from '../../core/store/suppressions.ts';
import { cursorOf, paging, placeByIds } from '../input/cursor.ts';
import { limit } from '../input/kinds.ts';
import { operation } from '../operation.ts';
import { notFound } from '../problem.ts';

const Suppressed = z.object({
  id: z.string(),
  email_address: z.string(),
  reason: z.string(),
  mailbox_id: z.string().nullable(),
  created_at: z.string(),
});

export function suppressionView(one: Suppression): z.input<typeof Suppressed> {
  return {
    id: one.id,
    email_address: one.address,
    reason: one.reason,
    mailbox_id: one.mailboxId,
    created_at: one.createdAt.toISOString(),
  };
}

const listSuppression = operation({
  name: 'list_suppression',
  summary: 'Addresses that get no more mail, newest first',
  area: 'suppression',
  access: 'admin',
  method: 'GET',
  path: '/v1/suppression',
  input: z.object({ limit: limit(50, 100), ...paging }),
  output: z.object({ suppressions: z.array(Suppressed), cursor: z.string().nullable() }),
  tool: {
    description:
      'List the addresses that get no more mail from here, with the reason: it bounced for good, the recipient complained, or unsubscribed.',
    takes: ['limit', 'cursor'],
    hints: ['readOnly', 'idempotent'],
  },
  async handle(input, { runtime }) {
    const { suppressions, more } = await listSuppressions(runtime.database.pool, {
      ...placeByIds(input),
      limit: input.limit,
    });
    return {
      suppressions: suppressions.map(suppressionView),
      cursor: more ? cursorOf(suppressions.at(-1)!.id) : null,
    };
  },
});

const liftSuppression = operation({
  name: 'remove_suppression',
  summary: 'Let an address have mail again',
  area: 'suppression',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/suppression/:email_address',
  input: z.object({ email_address: z.string().min(1).max(1000) }),
  output: z.object({ status: z.literal('removed'), email_address: z.string() }),
  tool: {
    description: 'Lift the suppression of an address, so that mail can be sent to it again.',
    takes: ['email_address'],
    hints: ['destructive', 'idempotent'],
  },
  async handle({ email_address }, { runtime, caller }) {
    const parsed = parseAddress(email_address, { smtputf8: true });
    const gone = parsed.ok
      ? await removeSuppression(runtime.database.pool, parsed.address, caller.actor)
      : undefined;
    if (gone === undefined) throw notFound('This address is not suppressed.');
    return { status: 'removed' as const, email_address: gone };
  },
});

export const suppressionOperations = [listSuppression, liftSuppression];
