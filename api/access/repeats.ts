/**
 * Calls that name themselves by Idempotency-Key, other than sending: the first is carried out, and who repeats it
 * within 24 hours hears what the first heard.
 *
 * The answer is sealed under the caller's API key, which is kept nowhere: nobody else can read it, from the store
 * or by asking, so it may hold what is told once alone (a new key, a signing secret). A repeat with another API key
 * is therefore another request. What did not get as far as being carried out does not use up the key: a mistake of
 * form, a person's code that is still to come or was wrong, too many requests, a failure of ours.
 */
import { createCipheriv, createDecipheriv, createHmac, randomBytes } from 'node:crypto';
import { newId } from '../../core/mail/id.ts';
import type { Db } from '../../core/store/database.ts';
import {
  keepAnswer,
  keepRunning,
  type NamedCall,
  RUNNING_SECONDS,
  releaseCall,
  takeCall,
} from '../../core/store/idempotent-requests.ts';
import { type Call, type Operation, Raw } from '../operation.ts';
import type { Done } from '../perform.ts';
import { Problem } from '../problem.ts';
import { fingerprintOf } from './fingerprint.ts';

/** What a call came to, and whether it was carried out: only then does it count as the first. */
export interface Outcome {
  done: Done;
  carriedOut: boolean;
}

/** An error of the operation itself, not of what had to hold before it. */
const FINAL = new Set([403, 404, 409, 410]);

/** Whether repeats of this call are answered here. */
export function isNamed(one: Operation, { idempotencyKey, caller }: Call): boolean {
  return (
    idempotencyKey !== undefined &&
    caller.answersKey !== undefined &&
    one.repeats !== 'own' &&
    one.method !== 'GET'
  );
}

/** Carries out the call, or answers it as its first was. `run` marks by `began` the moment from which it counts. */
export async function once(
  one: Operation,
  input: Record<string, unknown>,
  call: Call,
  run: (began: () => void) => Promise<Outcome>,
): Promise<Done> {
  const db = call.runtime.database.pool;
  const named: NamedCall = {
    operation: one.name,
    key: call.idempotencyKey!,
    // Keyed too: a request may hold a password, which whoever reads a bare digest could try to guess.
    requestSha256: createHmac('sha256', call.caller.answersKey!()).update(fingerprintOf(input)).digest(),
    attempt: newId(),
  };
  const earlier = await takeCall(db, named);
  if (earlier !== 'taken') {
    if (!earlier.same)
      throw new Problem(
        409,
        'idempotency_mismatch',
        'This idempotency key was used for another request, or by another API key.',
      );
    if (earlier.status === null || earlier.answer === null)
      throw new Problem(
        409,
        'idempotency_in_flight',
        'The first request with this idempotency key is still being carried out.',
        {},
        { 'retry-after': '1' },
      );
    return replay(earlier.status, open(earlier.answer, call));
  }
  return first(db, named, call, run);
}

async function first(
  db: Db,
  named: NamedCall,
  call: Call,
  run: (began: () => void) => Promise<Outcome>,
): Promise<Done> {
  const alive = setInterval(() => void keepRunning(db, named).catch(() => {}), (RUNNING_SECONDS * 1000) / 3);
  let began = false;
  try {
    const { done, carriedOut } = await run(() => {
      began = true;
    });
    if (carriedOut && !(done.body instanceof Raw)) await keep(db, named, done, call);
    else await release(db, named, call);
    return done;
  } catch (err) {
    if (began && err instanceof Problem && FINAL.has(err.status)) {
      const { status, code, message, extra, headers } = err;
      await keep(db, named, { status, headers, body: { problem: { code, message, extra } } }, call);
    } else await release(db, named, call);
    throw err;
  } finally {
    clearInterval(alive);
  }
}

/** The work is done: that its answer cannot be kept is no reason to say that it is not. */
async function keep(db: Db, named: NamedCall, done: Done, call: Call): Promise<void> {
  const { status, headers, body } = done;
  await keepAnswer(db, named, status, seal(JSON.stringify({ headers, body }), call)).catch((err: unknown) =>
    call.runtime.log.warn({ err, operation: named.operation }, 'the answer to a named request was not kept'),
  );
}

async function release(db: Db, named: NamedCall, call: Call): Promise<void> {
  await releaseCall(db, named).catch((err: unknown) =>
    call.runtime.log.warn({ err, operation: named.operation }, 'an idempotency key was not given free'),
  );
}

const REPLAYED = { 'idempotency-replayed': 'true' };

function replay(status: number, kept: string): Done {
  const { headers, body } = JSON.parse(kept) as {
    headers: Record<string, string>;
    body: { problem?: { code: string; message: string; extra: Record<string, unknown> } };
  };
  if (status < 400) return { status, headers: { ...headers, ...REPLAYED }, body };
  const { code, message, extra } = body.problem!;
  throw new Problem(status, code, message, extra, { ...headers, ...REPLAYED });
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** AES-256-GCM: nonce, tag, text. */
function seal(text: string, { caller }: Call): Buffer {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv('aes-256-gcm', caller.answersKey!(), nonce);
  const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]);
}

function open(answer: Buffer, { caller }: Call): string {
  const decipher = createDecipheriv('aes-256-gcm', caller.answersKey!(), answer.subarray(0, NONCE_BYTES), {
    authTagLength: TAG_BYTES,
  });
  decipher.setAuthTag(answer.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
  return Buffer.concat([
    decipher.update(answer.subarray(NONCE_BYTES + TAG_BYTES)),
    decipher.final(),
  ]).toString();
}
