/**
 * Deciding without a key, by the link in a notice.
 *
 *   GET ─▶ the draft ─▶ POST send_code ─▶ a code is mailed ─▶ POST approve | reject with it ─▶ decided
 *
 * Mail scanners follow links and submit forms, so neither decides anything: the code does. A link ends with what it
 * is for: once the message is decided, edited, withdrawn or expired it only says so.
 */
import { z } from 'zod';
import { isApprovalToken, readApprovalToken } from '../../core/mail/approval-token.ts';
import { oneLine, plainTime } from '../../core/mail/text.ts';
import { readAccount } from '../../core/store/account.ts';
import { type MessageRecord, readMessage } from '../../core/store/messages.ts';
import { ensureUser } from '../../core/store/principals.ts';
import { standing } from '../../core/store/reviewing.ts';
import { readReview } from '../../core/store/revisions.ts';
import { networkOf, requireRate } from '../access/limiter.ts';
import { digest } from '../input/kinds.ts';
import { type Answer, type Call, operation } from '../operation.ts';
import { Problem } from '../problem.ts';
import { bodyOf, withStructure } from '../reading/bodies.ts';
import { mailApprovalCode, overseerOf, useApprovalCode } from '../reviewing/approval-code.ts';
import { draftPage, type Told, wordsPage } from '../reviewing/approval-page.ts';
import { again, decideMessage } from '../reviewing/reviews.ts';
import { statusOf } from '../views/statuses.ts';

const token = z.string().min(1).max(400);

/** The message a link is for, or the page that says why it is for none any more. */
type Found = { message: MessageRecord } | { ended: Ended };
interface Ended {
  title: string;
  words: string;
  /** Of a decision that comes too late; looking at the page is no fault. */
  status: 404 | 409 | 410;
}

const UNKNOWN: Ended = {
  title: 'This link is not known',
  words: 'It was changed on its way, or is not ours.',
  status: 404,
};
const EDITED: Ended = {
  title: 'The message was changed',
  words:
    'It was edited after this link was made, so the link has ended. While it waits, a new notice is mailed with a link to what it is now.',
  status: 409,
};
const EXPIRED: Ended = {
  title: 'The message has expired',
  words: 'Nobody decided in time, so it has expired and passes no more.',
  status: 410,
};

async function find(text: string, { runtime, address }: Call): Promise<Found> {
  const db = runtime.database.pool;
  await requireRate(runtime, 'approve', networkOf(address), 60, 60);
  const read = readApprovalToken(text);
  const message = read === undefined ? undefined : await readMessage(db, read.messageId, null);
  if (read === undefined || message === undefined) return { ended: UNKNOWN };
  const { secret } = await readAccount(db);
  if (!isApprovalToken(secret, read, message)) {
    const { revisions } = (await readReview(db, message.id))!;
    const earlier = revisions.map(({ previousDigest }) => ({ id: message.id, digest: previousDigest }));
    return { ended: earlier.some((one) => isApprovalToken(secret, read, one)) ? EDITED : UNKNOWN };
  }
  const ended = await endOf(message, runtime.database.pool);
  return ended === undefined ? { message } : { ended };
}

/** Why nothing is left to decide; undefined while something is. */
async function endOf(
  message: MessageRecord,
  db: Call['runtime']['database']['pool'],
): Promise<Ended | undefined> {
  const stands = await standing(db, message.id, null);
  if (stands === undefined) return UNKNOWN;
  if (stands.state === 'expired' || stands.holdExpired) return EXPIRED;
  if (stands.state === 'held' && !stands.quarantined && stands.digest === message.digest) return undefined;
  if (stands.state === 'held' && !stands.quarantined) return EDITED;
  const { decision, decidedBy, decidedAt } = stands;
  if (decision !== null && stands.state !== 'cancelled')
    return {
      title: decision === 'approve' ? 'It was approved' : 'It was rejected',
      words: `This message was already ${decision === 'approve' ? 'approved' : 'rejected'} by ${oneLine(decidedBy!, 320)} at ${plainTime(decidedAt!)}.`,
      status: 409,
    };
  return {
    title: 'Nothing is left to decide',
    words: `This message does not wait for a decision any more: it is ${statusOf(message).replaceAll('_', ' ')}.`,
    status: 409,
  };
}

const showApproval = operation({
  name: 'show_approval',
  summary: 'The page on which a person decides on a held message; looking at it decides nothing',
  area: 'oversight',
  access: 'none',
  method: 'GET',
  path: '/v1/approve/:token',
  input: z.object({ token }),
  media: ['text/html'],
  output: 'raw',
  handle: (input, call) =>
    unlessTooMany(input.token, call, async (found) => {
      if ('message' in found) return draft(found.message, call);
      const { title, words, status } = found.ended;
      return wordsPage(title, words, status === 404 ? 404 : 200);
    }),
});

const decideByLink = operation({
  name: 'decide_by_link',
  summary: 'What the page of a held message sends: a wish for a code, or a decision with one',
  area: 'oversight',
  access: 'none',
  method: 'POST',
  path: '/v1/approve/:token',
  form: true,
  input: z.object({
    token,
    action: z.enum(['approve', 'reject', 'send_code']),
    reason: z.string().trim().max(2000).optional().describe('Why; of a rejection the composer is told'),
    content_digest: digest.optional().describe('What the page showed'),
    code: z.string().max(16).optional().describe('What was mailed to the oversight address'),
  }),
  media: ['text/html'],
  output: 'raw',
  handle: (input, call) =>
    unlessTooMany(input.token, call, async (found) => {
      if ('ended' in found) return wordsPage(found.ended.title, found.ended.words, found.ended.status);
      const { message } = found;
      try {
        return input.action === 'send_code'
          ? await sendCode(message, call)
          : await decide(message, { ...input, action: input.action }, call);
      } catch (err) {
        if (!(err instanceof Problem)) throw err;
        return refused(message, err, input.reason, call);
      }
    }),
});

async function sendCode(message: MessageRecord, call: Call): Promise<Answer<never>> {
  await mailApprovalCode(message, await overseerOf(message, call.runtime), call.runtime);
  return draft(message, call, {
    status: 200,
    words:
      'A code is on its way to the oversight address. It works for 15 minutes. Nothing has been decided yet.',
  });
}

interface Decision {
  action: 'approve' | 'reject';
  reason?: string | undefined;
  content_digest?: string | undefined;
  code?: string | undefined;
}

async function decide(message: MessageRecord, given: Decision, call: Call): Promise<Answer<never>> {
  const { action, reason = '', content_digest = '', code = '' } = given;
  // Before the code is spent on it.
  if (content_digest !== message.digest)
    throw new Problem(
      409,
      'content_changed',
      'The message is no longer the one you saw. Look at it again before you decide.',
    );
  const { runtime } = call;
  const overseer = await overseerOf(message, runtime);
  const principalId = await ensureUser(runtime.database.pool, overseer);
  const actor = { type: 'user' as const, id: principalId, name: overseer };
  await useApprovalCode(message, overseer, code, actor, runtime);
  const key = { ...call.caller.key, principalId, principalName: overseer, principalKind: 'user' as const };
  const by = { ...call, caller: { ...call.caller, key, actor } };
  const verdict = { action, reason: reason === '' ? null : reason, digest: content_digest };
  const after = await decideMessage(message, verdict, by);
  if (action === 'reject')
    return wordsPage('Rejected', after.direction === 'inbound' ? 'It stays out.' : 'It is never sent.');
  if (after.direction === 'inbound') return wordsPage('Approved', 'It is in the mailbox now.');
  const waits = after.state === 'scheduled' && after.sendAt !== null;
  return wordsPage('Approved', waits ? `It leaves at ${plainTime(after.sendAt!)}.` : 'It is on its way.');
}

/** The refusal on top of the draft; without the draft where nothing is left to decide. */
async function refused(
  message: MessageRecord,
  problem: Problem,
  reason: string | undefined,
  call: Call,
): Promise<Answer<never>> {
  const now = await again(message, call);
  const ended = await endOf(now, call.runtime.database.pool);
  if (ended !== undefined) return wordsPage(ended.title, ended.words, ended.status);
  if (now.digest !== message.digest) return wordsPage(EDITED.title, EDITED.words, EDITED.status);
  const words =
    problem.code === 'invalid_code'
      ? `${problem.message} Ten wrong tries end a code; you can ask for another one. Nothing has been decided.`
      : `${problem.message} Nothing has been decided.`;
  return draft(now, call, {
    status: problem.status,
    words,
    reason,
    retryAfter: problem.headers['retry-after'],
  });
}

async function draft(message: MessageRecord, call: Call, told?: Told): Promise<Answer<never>> {
  const whole = await withStructure(message, call.runtime.database.pool);
  return draftPage({ message: whole, text: await bodyOf(whole, call.runtime) }, told);
}

/** A person is told in words of a page that they ask too often. */
async function unlessTooMany(token: string, call: Call, then: (found: Found) => Promise<Answer<never>>) {
  try {
    return await then(await find(token, call));
  } catch (err) {
    if (!(err instanceof Problem) || err.status !== 429) throw err;
    const answer = wordsPage('Too many requests', 'Wait a minute and try again.', 429);
    Object.assign(answer.headers, err.headers);
    return answer;
  }
}

export const approveOperations = [showApproval, decideByLink];
