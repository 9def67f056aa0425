/** Checkpoints of the audit log: what a reader of it can hold us to. */
import { z } from 'zod';
import { pathOf } from '../../core/mail/merkle.ts';
import { type AuditEvent, seqOf } from '../../core/store/audit.ts';
import {
  type Checkpoint as CheckpointRow,
  canonicalEvent,
  checkpointAfter,
  exactEvent,
  leafOf,
  listCheckpoints,
} from '../../core/store/checkpoints.ts';
import type { Db } from '../../core/store/database.ts';
import { paging, placeAmong } from '../input/cursor.ts';
import { limit } from '../input/kinds.ts';
import { operation } from '../operation.ts';

export const Checkpoint = z.object({
  id: z.string(),
  first_id: z.string(),
  last_id: z.string(),
  count: z.number(),
  merkle_root: z.string(),
  previous: z.string().nullable().describe('The hash of the checkpoint before'),
  hash: z.string(),
  signature: z.string(),
  kid: z.string(),
  created_at: z.string(),
});

export const Proof = z.object({
  path: z.array(z.object({ side: z.enum(['left', 'right']), hash: z.string() })),
  checkpoint: Checkpoint,
  leaf: z.string().describe('SHA-256 of `event`; where the path begins'),
  event: z.string().describe('The event as it is stored, in its canonical JSON'),
});

function checkpointOf(c: CheckpointRow): z.input<typeof Checkpoint> {
  return {
    id: c.id,
    first_id: c.firstId,
    last_id: c.lastId,
    count: c.count,
    merkle_root: c.root.toString('hex'),
    previous: c.previous?.toString('hex') ?? null,
    hash: c.hash.toString('hex'),
    signature: c.signature,
    kid: c.kid,
    created_at: c.createdAt.toISOString(),
  };
}

/** How an event is shown to be among those of a checkpoint; null while none covers it, or when none agrees with it. */
export async function proofOf(db: Db, { seq }: AuditEvent): Promise<z.input<typeof Proof> | null> {
  const covering = await checkpointAfter(db, seq - 1);
  const event = covering && (await exactEvent(db, seq));
  if (covering === undefined || event === undefined) return null;
  const leaf = leafOf(event);
  const index = covering.leaves.findIndex((one) => one.equals(leaf));
  if (index === -1) return null;
  return {
    path: pathOf(covering.leaves, index).map(({ side, hash }) => ({ side, hash: hash.toString('hex') })),
    checkpoint: checkpointOf(covering.checkpoint),
    leaf: leaf.toString('hex'),
    event: canonicalEvent(event),
  };
}

export const listAuditCheckpoints = operation({
  name: 'list_audit_checkpoints',
  summary: 'Checkpoints of the audit log, newest first',
  area: 'audit',
  access: 'admin',
  method: 'GET',
  path: '/v1/audit-checkpoints',
  input: z.object({ limit: limit(50, 100), ...paging }),
  output: z.object({ checkpoints: z.array(Checkpoint), cursor: z.string().nullable() }),
  async handle(input, { runtime }) {
    // The cursor is the id of the last event that the last one told covers.
    const { beyond, before, offset } = placeAmong(input, seqOf);
    const end = offset + input.limit;
    const place = { beforeSeq: beyond, before, limit: end + 1 };
    const found = await listCheckpoints(runtime.database.pool, place);
    const page = found.slice(offset, end);
    return {
      checkpoints: page.map(checkpointOf),
      cursor: found.length > end ? page.at(-1)!.lastId : null,
    };
  },
});

export const checkpointOperations = [listAuditCheckpoints];
