/**
 * The one door to the store. What it resolves is committed, and whoever judges mail has been told.
 *
 *   Envelope + Inspected ─▶ prepare (trace, Bcc, control fields) ─▶ Arrival ─▶ one commit ─▶ bell
 */
import { createHash } from 'node:crypto';
import type { Actor } from '../core/mail/actor.ts';
import { contentSha256, messageDigest } from '../core/mail/digest.ts';
import { newId } from '../core/mail/id.ts';
import { isMark } from '../core/mail/identity.ts';
import { prepare } from '../core/mail/prepare.ts';
import { REFUSALS, SmtpRefusal } from '../core/mail/reply.ts';
import { receivedField, type WithProtocol } from '../core/mail/trace.ts';
import { withinAllowance } from '../core/runtime/allowance.ts';
import type { Source } from '../core/runtime/metrics.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { type Arrival, accepting, acceptWithin } from '../core/store/accept.ts';
import type { Batcher } from '../core/store/batcher.ts';
import { takeKey } from '../core/store/idempotency.ts';
import type { NewMessage } from '../core/store/new-message.ts';
import { type Control, NO_CONTROL } from './control-headers.ts';
import type { Transaction, Visit } from './door.ts';
import { type Inspected, isForged } from './inspect.ts';

/** A mailbox that gets, or sends, one message of this arrival. */
export interface Destination {
  mailboxId: string;
  forwardPaths: string[];
}

export interface Delivery {
  source: Extract<Source, 'submission' | 'trusted' | 'mx'>;
  visit: Visit;
  transaction: Transaction;
  /** As it came, before anything was repaired. */
  received: Buffer;
  inspected: Inspected;
  destinations: Destination[];
  composerId: string | null;
  actor: Actor;
  control?: Control;
}

export interface AcceptDoor {
  /** The ids of the messages; throws SmtpRefusal when nothing was kept. */
  accept(delivery: Delivery): Promise<string[]>;
  drain(): Promise<void>;
}

const ONE_MORE = {
  sent: (repeated: string | undefined) => repeated === undefined,
  refuse: () => new SmtpRefusal(REFUSALS.sendsUsedUp),
};

export function openAcceptDoor(runtime: Runtime): AcceptDoor {
  const { config, database, contents, metrics, bells } = runtime;
  const batch = accepting(database, contents, (rows) => metrics.batch('accept', rows));

  return {
    async accept(delivery) {
      const arrival = arrivalOf(delivery, config.hostname);
      const ids = arrival.messages.map(({ id }) => id);
      const key = delivery.control?.idempotencyKey ?? null;
      const keep = () => commit(runtime, batch, delivery, arrival, key);
      const repeated =
        delivery.source === 'mx' ? await keep() : await withinAllowance(runtime, keep, ONE_MORE);
      if (repeated !== undefined) return [repeated];
      metrics.accepted(delivery.source, ids.length);
      bells.ring('policy', ids);
      return ids;
    },
    drain: () => batch.drain(),
  };
}

/** Returns the id of the message that stands for the same request already, when there is one. */
async function commit(
  { database }: Runtime,
  batch: Batcher<Arrival, void>,
  delivery: Delivery,
  arrival: Arrival,
  key: string | null,
): Promise<string | undefined> {
  try {
    if (key === null) {
      await batch.add(arrival);
      return undefined;
    }
    return await database.transaction(async (db) => {
      const { id, mailboxId } = arrival.messages[0]!;
      const requestSha256 = requestDigest(delivery);
      const earlier = await takeKey(db, { mailboxId, key, requestSha256, messageId: id });
      if (earlier === undefined) await acceptWithin(db, arrival);
      else if (!earlier.same) throw new SmtpRefusal(REFUSALS.idempotencyMismatch);
      return earlier?.messageId;
    });
  } catch (err) {
    if (err instanceof SmtpRefusal) throw err;
    throw new SmtpRefusal(REFUSALS.storeUnavailable, { cause: err });
  }
}

/** What makes two requests the same: the envelope and the bytes the client sent. */
function requestDigest({ transaction, received }: Delivery): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([transaction.reversePath, [...transaction.forwardPaths].sort()]))
    .update(received)
    .digest();
}

function arrivalOf(delivery: Delivery, hostname: string): Arrival {
  const ids = delivery.destinations.map(() => newId());
  const bytes = bytesOf(delivery, hostname, ids[0]!);
  const content = { id: newId(), sha256: contentSha256(bytes.bytes), bytes: bytes.bytes };
  const messages = delivery.destinations.map((destination, i) =>
    messageOf(delivery, destination, {
      id: ids[i]!,
      contentId: content.id,
      size: content.bytes.length,
      digest: messageDigest({
        reversePath: delivery.transaction.reversePath,
        forwardPaths: destination.forwardPaths,
        contentSha256: content.sha256,
      }),
      internetMessageId: bytes.messageId,
    }),
  );
  return { content, messages };
}

/** The bytes we keep, and their Message-ID: the one that came, or the one we gave. */
function bytesOf(delivery: Delivery, hostname: string, id: string) {
  const { inspected, visit, transaction, source } = delivery;
  const { raw, block, facts } = inspected;
  const ours = source !== 'mx';
  const date = new Date();
  const addMessageId = ours && !facts.hasMessageId ? `<${id}@${hostname}>` : undefined;
  const bytes = prepare(raw, {
    received: receivedField({
      from: { ehlo: visit.ehlo, address: visit.clientAddress },
      by: hostname,
      with: protocolOf(visit, transaction),
      id,
      for: transaction.forwardPaths.length === 1 ? transaction.forwardPaths[0] : undefined,
      date,
      tls: visit.tls,
    }),
    removeBcc: ours,
    removeControl: true,
    removeAlso: (field) => isForged(block, field, hostname) || (ours && isMark(field.name)),
    addMessageId,
    addDate: ours && !facts.hasDate ? date : undefined,
    block,
  });
  return { bytes, messageId: addMessageId ?? facts.messageId };
}

type FromBytes = Pick<NewMessage, 'id' | 'contentId' | 'size' | 'digest' | 'internetMessageId'>;

function messageOf(delivery: Delivery, destination: Destination, own: FromBytes): NewMessage {
  const { source, transaction, inspected, control = NO_CONTROL } = delivery;
  const { facts } = inspected;
  return {
    ...own,
    kind: 'mail',
    direction: source === 'mx' ? 'inbound' : 'outbound',
    source,
    state: 'received',
    mailboxId: destination.mailboxId,
    composerId: delivery.composerId,
    aboutId: null,
    reversePath: transaction.reversePath,
    forwardPaths: destination.forwardPaths,
    smtputf8: transaction.smtputf8,
    body8bit: transaction.body8bit || facts.has8bitBody,
    subject: facts.subject,
    facts: facts.control.length === 0 ? facts : { ...facts, control: [] }, // taken off, like the fields
    tags: control.tags,
    agent: control.agent,
    requestedMode: control.requestedMode,
    effectiveMode: null,
    sendAt: control.sendAt,
    gateTiming: null,
    answers: source === 'mx' ? answersOf(facts) : null,
    actor: delivery.actor,
  };
}

const OURS = /^<([0-7][0-9a-hjkmnp-tv-z]{25})@/i;
const ANSWERED = 10;

/** Ids of ours that the header says it answers: a Message-ID that we gave is the id of its message, in lower case. */
function answersOf({ inReplyTo, references }: Inspected['facts']): string[] {
  const named = [...inReplyTo, ...references.toReversed()].flatMap((one) => OURS.exec(one)?.[1] ?? []);
  return [...new Set(named.map((id) => id.toUpperCase()))].slice(0, ANSWERED);
}

function protocolOf({ esmtp, secure, user }: Visit, { smtputf8 }: Transaction): WithProtocol {
  if (!esmtp) return 'SMTP';
  const suffix = `${secure ? 'S' : ''}${user !== undefined ? 'A' : ''}` as '' | 'S' | 'A' | 'SA';
  return `${smtputf8 ? 'UTF8SMTP' : 'ESMTP'}${suffix}`;
}
