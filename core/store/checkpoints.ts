/**
 * Checkpoints of the audit log: each stands for all events since the one before it, and names that one, so that what
 * a checkpoint covers can neither change nor go without its being seen.
 *
 *   leaf  = SHA-256( canonical JSON of an event )              root = Merkle root of the leaves, in the log's order
 *   hash  = SHA-256( canonical JSON of {count, first_id, id, last_id, merkle_root, previous} )
 *   signature = token (core/mail/token.ts) over {checkpoint: id, hash}
 */
import { createHash, hash } from 'node:crypto';
import { newId } from '../mail/id.ts';
import { rootOf } from '../mail/merkle.ts';
import { canonicalJson, type SigningKey, signToken } from '../mail/token.ts';
import { type AuditEvent, auditId, COLUMNS } from './audit.ts';
import type { Database, Db } from './database.ts';

export interface Checkpoint {
  id: string;
  firstSeq: number;
  lastSeq: number;
  firstId: string;
  lastId: string;
  count: number;
  root: Buffer;
  /** The hash of the one before; null for the first. */
  previous: Buffer | null;
  hash: Buffer;
  signature: string;
  kid: string;
  createdAt: Date;
}

/** An event with its time to the microsecond, as it is stored. */
export interface ExactEvent extends AuditEvent {
  exactAt: string;
}

const EXACT = `${COLUMNS}, to_char(e.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as "exactAt"`;

/** The one spelling of an event that its hash is over: JSON with sorted keys and no blanks. */
export function canonicalEvent(event: ExactEvent): string {
  return canonicalJson({
    action: event.action,
    actor_id: event.actorId,
    actor_name: event.actorName,
    actor_type: event.actorType,
    at: event.exactAt,
    from_state: event.fromState,
    mailbox_id: event.mailboxId,
    metadata: event.metadata,
    resource_id: event.resourceId,
    resource_type: event.resourceType,
    seq: event.seq,
    to_state: event.toState,
  });
}

export function leafOf(event: ExactEvent): Buffer {
  return hash('sha256', canonicalEvent(event), 'buffer');
}

export function hashOf(
  c: Pick<Checkpoint, 'id' | 'firstId' | 'lastId' | 'count' | 'root' | 'previous'>,
): Buffer {
  const covered = {
    id: c.id,
    first_id: c.firstId,
    last_id: c.lastId,
    count: c.count,
    merkle_root: c.root.toString('hex'),
    previous: c.previous?.toString('hex') ?? null,
  };
  return createHash('sha256').update(canonicalJson(covered)).digest();
}

/** So few that mail on its way is kept waiting for a few milliseconds at most. */
const BATCH = 200;

/** Events after a place and up to another, oldest first, a few at a time. */
export async function* eventsBetween(db: Db, after: number, upTo: number): AsyncGenerator<ExactEvent[]> {
  for (let at = after; at < upTo; ) {
    const { rows } = await db.query<ExactEvent>({
      name: 'events-between',
      text: `select ${EXACT} from audit_events e where e.seq > $1 and e.seq <= $2 order by e.seq limit ${BATCH}`,
      values: [at, upTo],
    });
    if (rows.length > 0) yield rows;
    if (rows.length < BATCH) return;
    at = rows.at(-1)!.seq;
  }
}

export interface LogHead {
  /** Place of the newest event that can be seen. */
  seq: number;
  /** Transactions that began to write from here on have none before it. */
  horizon: bigint;
}

/** How far the log goes. What lies before may still come to light, until `settled` is past the horizon. */
export async function logHead(db: Db): Promise<LogHead> {
  // In two statements: a snapshot taken first would not know of those who wrote before the place was read.
  const { rows: places } = await db.query<{ seq: number }>(
    'select coalesce(max(seq), 0)::bigint as seq from audit_events',
  );
  const { rows } = await db.query<{ horizon: string }>(
    'select pg_snapshot_xmax(pg_current_snapshot())::text as horizon',
  );
  return { seq: places[0]!.seq, horizon: BigInt(rows[0]!.horizon) };
}

/** Whether everyone who may have been writing when `head` was read has come to an end. */
export async function isSettled(db: Db, head: LogHead): Promise<boolean> {
  const { rows } = await db.query<{ oldest: string }>(
    'select pg_snapshot_xmin(pg_current_snapshot())::text as oldest',
  );
  return BigInt(rows[0]!.oldest) >= head.horizon;
}

export interface CheckpointRules {
  /** Close when so many events are open … */
  events: number;
  /** … or when the oldest of them has been open for so long. */
  seconds: number;
}

const LOCK = 7_033_402;

/**
 * Closes a checkpoint over settled events up to `upTo`, if there are enough of them or they have waited long enough;
 * a checkpoint never covers more than `rules.events`. Undefined when there was nothing to close, or another process is
 * closing one.
 */
export async function closeCheckpoint(
  database: Database,
  upTo: number,
  rules: CheckpointRules,
  key: SigningKey,
): Promise<Checkpoint | undefined> {
  return database.transaction(async (db) => {
    const { rows } = await db.query<{ mine: boolean }>({
      text: 'select pg_try_advisory_xact_lock($1) as mine',
      values: [LOCK],
    });
    if (!rows[0]!.mine) return undefined;
    const last = await lastCheckpoint(db);
    if (!(await isDue(db, last?.lastSeq ?? 0, upTo, rules))) return undefined;
    return close(db, last, upTo, rules.events, key);
  });
}

async function isDue(
  db: Db,
  after: number,
  upTo: number,
  { events, seconds }: CheckpointRules,
): Promise<boolean> {
  if (upTo - after >= events) return true;
  const { rows } = await db.query<{ due: boolean }>({
    text: `select at <= now() - make_interval(secs => $3) as due from audit_events
            where seq > $1 and seq <= $2 order by seq limit 1`,
    values: [after, upTo, seconds],
  });
  return rows[0]?.due === true;
}

async function close(
  db: Db,
  last: Checkpoint | undefined,
  upTo: number,
  most: number,
  key: SigningKey,
): Promise<Checkpoint | undefined> {
  const leaves: Buffer[] = [];
  let first: ExactEvent | undefined;
  let end: ExactEvent | undefined;
  for await (const events of eventsBetween(db, last?.lastSeq ?? 0, upTo)) {
    for (const event of events) {
      if (leaves.length === most) break;
      first ??= event;
      end = event;
      leaves.push(leafOf(event));
    }
    // The mail that is on its way meanwhile is not kept waiting.
    await new Promise((go) => setImmediate(go));
    if (leaves.length === most) break;
  }
  if (first === undefined || end === undefined) return undefined;
  const covered = {
    id: newId(),
    firstId: auditId(first),
    lastId: auditId(end),
    count: leaves.length,
    root: rootOf(leaves),
    previous: last?.hash ?? null,
  };
  const sealed = hashOf(covered);
  const signature = signToken({ checkpoint: covered.id, hash: sealed.toString('hex') }, key);
  return insert(
    db,
    { ...covered, firstSeq: first.seq, lastSeq: end.seq, hash: sealed, signature, kid: key.kid },
    leaves,
  );
}

async function insert(db: Db, c: Omit<Checkpoint, 'createdAt'>, leaves: Buffer[]): Promise<Checkpoint> {
  const { rows } = await db.query<{ createdAt: Date }>({
    text: `insert into audit_checkpoints (id, first_seq, last_seq, first_id, last_id, count, merkle_root, previous, hash,
        signature, kid, leaves) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
      returning created_at as "createdAt"`,
    values: [
      c.id,
      c.firstSeq,
      c.lastSeq,
      c.firstId,
      c.lastId,
      c.count,
      c.root,
      c.previous,
      c.hash,
      c.signature,
      c.kid,
      Buffer.concat(leaves),
    ],
  });
  return { ...c, createdAt: rows[0]!.createdAt };
}

const CHECKPOINT = `id, first_seq as "firstSeq", last_seq as "lastSeq", first_id as "firstId", last_id as "lastId", count,
  merkle_root as root, previous, hash, signature, kid, created_at as "createdAt"`;

async function lastCheckpoint(db: Db): Promise<Checkpoint | undefined> {
  return (await listCheckpoints(db, { beforeSeq: null, limit: 1 }))[0];
}

/** Newest first, from before a place of the log on, or from before a moment. */
export async function listCheckpoints(
  db: Db,
  { beforeSeq, before = null, limit }: { beforeSeq: number | null; before?: Date | null; limit: number },
): Promise<Checkpoint[]> {
  const { rows } = await db.query<Checkpoint>({
    text: `select ${CHECKPOINT} from audit_checkpoints where ($1::bigint is null or last_seq < $1) and ($3::timestamptz is null or created_at < $3)
            order by last_seq desc limit $2`,
    values: [beforeSeq, limit, before],
  });
  return rows;
}

/** The next checkpoint after a place of the log, with its leaves; undefined when there is none yet. */
export async function checkpointAfter(
  db: Db,
  seq: number,
): Promise<{ checkpoint: Checkpoint; leaves: Buffer[] } | undefined> {
  const { rows } = await db.query<Checkpoint & { leaves: Buffer }>({
    text: `select ${CHECKPOINT}, leaves from audit_checkpoints where last_seq > $1 order by last_seq limit 1`,
    values: [seq],
  });
  const [row] = rows;
  if (row === undefined) return undefined;
  const { leaves, ...checkpoint } = row;
  const hashes = Array.from({ length: leaves.length / 32 }, (_, i) => leaves.subarray(i * 32, i * 32 + 32));
  return { checkpoint, leaves: hashes };
}

/** One event exactly as it is stored. */
export async function exactEvent(db: Db, seq: number): Promise<ExactEvent | undefined> {
  for await (const [event] of eventsBetween(db, seq - 1, seq)) return event;
  return undefined;
}
