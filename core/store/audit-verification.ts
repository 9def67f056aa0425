/** Whether the audit log still is what its checkpoints say. */
import type { KeyObject } from 'node:crypto';
import { rootOf } from '../mail/merkle.ts';
import { readToken } from '../mail/token.ts';
import { auditId } from './audit.ts';
import {
  type Checkpoint,
  checkpointAfter,
  type ExactEvent,
  eventsBetween,
  hashOf,
  leafOf,
} from './checkpoints.ts';
import type { Db } from './database.ts';

export interface Finding {
  /** What is wrong, as a sentence. */
  text: string;
  kind: 'changed' | 'missing' | 'added' | 'broken_chain' | 'bad_signature' | 'cut_short';
  /** Of the event or of the checkpoint. */
  id: string | null;
}

export interface Verification {
  checkpoints: number;
  events: number;
  /** Events after the last checkpoint: nothing vouches for them yet. */
  open: number;
  /** The first things that are wrong; empty when all is well. */
  findings: Finding[];
}

/** A checkpoint that was kept elsewhere, in the form the API tells it. */
export interface KeptCheckpoint {
  id: string;
  hash: string;
}

const TOLD = 20;

/** Reads the whole log. `keys` finds a public key by its id. */
export async function verifyLog(
  db: Db,
  keys: (kid: string) => KeyObject | undefined,
  kept: readonly KeptCheckpoint[] = [],
): Promise<Verification> {
  const result: Verification = { checkpoints: 0, events: 0, open: 0, findings: [] };
  const known = new Map<string, string>();
  let last: Checkpoint | undefined;
  while (result.findings.length < TOLD) {
    const next = await checkpointAfter(db, last?.lastSeq ?? 0);
    if (next === undefined) break;
    const { checkpoint, leaves } = next;
    known.set(checkpoint.id, checkpoint.hash.toString('hex'));
    result.findings.push(...sealFaults(checkpoint, leaves, last, keys));
    const { events, findings } = await eventFaults(db, checkpoint, leaves, last?.lastSeq ?? 0);
    result.findings.push(...findings);
    result.events += events;
    result.checkpoints += 1;
    last = checkpoint;
  }
  result.open = await countAfter(db, last?.lastSeq ?? 0);
  result.findings.push(...kept.flatMap((one) => keptFaults(one, known)));
  result.findings.splice(TOLD);
  return result;
}

async function countAfter(db: Db, seq: number): Promise<number> {
  const { rows } = await db.query<{ count: number }>({
    text: 'select count(*) from audit_events where seq > $1',
    values: [seq],
  });
  return rows[0]!.count;
}

/** The checkpoint itself: its hash, its place in the chain, its signature. */
function sealFaults(
  c: Checkpoint,
  leaves: Buffer[],
  last: Checkpoint | undefined,
  keys: (kid: string) => KeyObject | undefined,
): Finding[] {
  const findings: Finding[] = [];
  const fault = (kind: Finding['kind'], text: string) => findings.push({ kind, text, id: c.id });
  const follows =
    c.previous === null ? last === undefined : last !== undefined && c.previous.equals(last.hash);
  if (!follows)
    fault(
      'broken_chain',
      `Checkpoint ${c.id} does not follow the one before it: a checkpoint is missing or was changed.`,
    );
  const whole = leaves.length === c.count && leaves.length > 0 && rootOf(leaves).equals(c.root);
  if (!whole || !hashOf(c).equals(c.hash))
    fault('broken_chain', `Checkpoint ${c.id} was changed: its hash is not that of its content.`);
  const token = readToken(c.signature, keys);
  const signs = token?.payload.checkpoint === c.id && token.payload.hash === c.hash.toString('hex');
  if (token?.signature !== 'valid' || !signs)
    fault('bad_signature', `Checkpoint ${c.id} is not signed by a key of this Postern.`);
  return findings;
}

async function eventFaults(db: Db, c: Checkpoint, leaves: Buffer[], after: number) {
  const expected = new Set(leaves.map((leaf) => leaf.toString('hex')));
  const strange: ExactEvent[] = [];
  let events = 0;
  for await (const some of eventsBetween(db, after, c.lastSeq))
    for (const event of some) {
      events += 1;
      if (!expected.delete(leafOf(event).toString('hex')) && strange.length < TOLD) strange.push(event);
    }
  // As many hashes without an event as there are events without a hash were those events once.
  const missing = events < leaves.length ? leaves.length - events : 0;
  const added = events > leaves.length;
  const findings: Finding[] = strange.map((event) => ({
    kind: added ? 'added' : 'changed',
    id: auditId(event),
    text: `Event ${auditId(event)} (${event.action}) is not one that checkpoint ${c.id} covers: it was ${added ? 'added or ' : ''}changed.`,
  }));
  if (missing > 0)
    findings.push({
      kind: 'missing',
      id: c.id,
      text: `${missing === 1 ? 'One event' : `${missing} events`} of checkpoint ${c.id} ${missing === 1 ? 'is' : 'are'} missing, between ${c.firstId} and ${c.lastId}.`,
    });
  return { events, findings };
}

function keptFaults({ id, hash }: KeptCheckpoint, known: Map<string, string>): Finding[] {
  const present = known.get(id);
  if (present === hash) return [];
  return [
    {
      kind: 'cut_short',
      id,
      text:
        present === undefined
          ? `Checkpoint ${id} was kept elsewhere and is not here: the log was cut short, or begun anew.`
          : `Checkpoint ${id} was kept elsewhere with another hash: the log was rewritten.`,
    },
  ];
}
