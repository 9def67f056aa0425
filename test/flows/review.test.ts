import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newId } from '../../core/mail/id.ts';
import { plainTime } from '../../core/mail/text.ts';
import { claim } from '../../core/store/claiming.ts';
import { beginLease } from '../../core/store/leases.ts';
import {
  AlreadyDecided,
  AlreadyHandedOff,
  type Answer,
  approve,
  ContentChanged,
  cancel,
  Expired,
  MailboxShut,
  NotFound,
  reject,
  SelfApproval,
  settleDoubt,
  WrongState,
} from '../../policy/review.ts';
import { type Mail, type Oversight, openOversight } from '../support/oversight.ts';

let oversight: Oversight;
let worker: string;
beforeAll(async () => {
  oversight = await openOversight();
  worker = newId();
  await beginLease(oversight.database.pool, { id: worker, room: 'delivery', leaseSeconds: 600 });
});
afterAll(() => oversight.close());

const actor = system('api');

/** A message that waits for a decision, and the answer a reviewer would give on what they see. */
async function held(mail: Partial<Mail> = {}): Promise<Answer> {
  const mailboxId = mail.mailboxId ?? (await oversight.mailbox({ mode: 'gated_all' }));
  const messageId = await oversight.accept({ mailboxId, ...mail });
  await oversight.judge(messageId);
  oversight.rung();
  return answerTo(messageId);
}

async function answerTo(messageId: string): Promise<Answer> {
  const { digest, state } = await oversight.message(messageId);
  expect(state).toBe('held');
  return { messageId, digest: digest.toString('hex'), principal: await oversight.principal(), actor };
}

const state = async (id: string) => (await oversight.message(id)).state;

test('an approval releases exactly what was seen, is kept with its digest, and rings delivery', async () => {
  const answer = await held();
  const decided = await approve(oversight.house, { ...answer, reason: 'known customer' });
  expect(decided).toMatchObject({
    state: 'queued',
    decision: 'approve',
    by: answer.principal.name,
    repeated: false,
  });
  expect(oversight.rung()).toEqual([answer.messageId]);
  expect(await oversight.message(answer.messageId)).toMatchObject({ released_by: 'approval' });
  expect(await oversight.hold(answer.messageId)).toBeUndefined();
  const [approval] = await oversight.sql('select * from approvals where message_id = $1', [answer.messageId]);
  expect(approval).toMatchObject({
    decision: 'approve',
    reason: 'known customer',
    digest: Buffer.from(answer.digest, 'hex'),
  });
  expect((await oversight.audit(answer.messageId)).at(-1)).toMatchObject({
    action: 'message.approved',
    from_state: 'held',
    to_state: 'queued',
    actor_name: 'api',
    metadata: {
      approval: { by: answer.principal.name, content_hash: answer.digest, reason: 'known customer' },
    },
  });
});

test('an approval makes held inbound mail available', async () => {
  const answer = await held({ direction: 'inbound', source: 'mx' });
  expect(await approve(oversight.house, answer)).toMatchObject({ state: 'available' });
  expect(await oversight.message(answer.messageId)).toMatchObject({ wake_at: null });
  expect(oversight.rung()).toEqual([]);
});

test.each([
  ['submission', 'outbound', 'rejected'],
  ['trusted', 'outbound', 'rejected'],
  ['rest', 'outbound', null],
  ['mx', 'inbound', null],
] as const)('R-24 rejected mail by %s (%s) owes the DSN %s', async (source, direction, owed) => {
  const answer = await held({ source, direction });
  expect(await reject(oversight.house, { ...answer, reason: 'not our tone' })).toMatchObject({
    state: 'rejected',
  });
  expect(await oversight.message(answer.messageId)).toMatchObject({
    dsn_owed: owed,
    status_reason: 'rejected: not our tone',
  });
  expect((await oversight.message(answer.messageId)).wake_at === null).toBe(owed === null);
});

describe('A-04 a decision said again', () => {
  test('by the same principal gets the same answer, and nothing is repeated', async () => {
    const answer = await held();
    const first = await approve(oversight.house, answer);
    expect(await approve(oversight.house, answer)).toEqual({ ...first, repeated: true });
    expect(
      await oversight.sql('select id from approvals where message_id = $1', [answer.messageId]),
    ).toHaveLength(1);
  });

  test('otherwise, or by another, is told which one counted', async () => {
    const answer = await held();
    const { at } = await approve(oversight.house, answer);
    const counted = { decision: 'approve', by: answer.principal.name, at };
    await expect(reject(oversight.house, answer)).rejects.toMatchObject(counted);
    const other = { ...answer, principal: await oversight.principal() };
    await expect(approve(oversight.house, other)).rejects.toThrow(AlreadyDecided);
    await expect(approve(oversight.house, other)).rejects.toThrow(
      `This message was already approved by ${answer.principal.name} at ${plainTime(at)}.`,
    );
  });
});

describe('who composed never approves, and neither does', () => {
  const cases = {
    'the composer, admin or not': async () => {
      const composer = await oversight.principal();
      return { composerId: composer.id, principal: composer };
    },
    'the owner of the agent that composed': async () => {
      const owner = await oversight.principal();
      const agent = await oversight.principal({ kind: 'agent', ownerId: owner.id });
      return { composerId: agent.id, principal: owner };
    },
    'an agent that the composer owns': async () => {
      const owner = await oversight.principal();
      const agent = await oversight.principal({ kind: 'agent', ownerId: owner.id });
      return { composerId: owner.id, principal: agent };
    },
    'another agent of the same owner': async () => {
      const owner = await oversight.principal();
      const agent = await oversight.principal({ kind: 'agent', ownerId: owner.id });
      const other = await oversight.principal({ kind: 'agent', ownerId: owner.id });
      return { composerId: agent.id, principal: other };
    },
  };
  test.each(Object.entries(cases))('%s', async (_, cast) => {
    const { composerId, principal } = await cast();
    const answer = { ...(await held({ composerId })), principal };
    await expect(approve(oversight.house, answer)).rejects.toThrow(SelfApproval);
    await expect(reject(oversight.house, answer)).rejects.toThrow(SelfApproval);
    expect(await state(answer.messageId)).toBe('held');
    expect(
      await approve(oversight.house, { ...answer, principal: await oversight.principal() }),
    ).toMatchObject({
      state: 'queued',
    });
    await expect(approve(oversight.house, answer)).rejects.toThrow(SelfApproval);
  });
});

test('U-07 an approval row by the composer, written by hand, opens no gate', async () => {
  const composer = await oversight.principal();
  const { messageId, digest } = await held({ composerId: composer.id });
  await oversight.sql(
    `insert into approvals (id, message_id, decision, digest, principal_id, principal_name)
     values ($1, $2, 'approve', decode($3, 'hex'), $4, 'self')`,
    [newId(), messageId, digest, composer.id],
  );
  await oversight.sql(`update messages set state = 'queued' where id = $1`, [messageId]);
  expect(await claim(oversight.database.pool, [messageId], worker)).toEqual([]);
});

describe('an approval is for the content that was seen', () => {
  test('another digest is refused, and the right one named', async () => {
    const answer = await held();
    const wrong = { ...answer, digest: 'ab'.repeat(32) };
    await expect(approve(oversight.house, wrong)).rejects.toMatchObject({ digest: answer.digest });
    await expect(reject(oversight.house, wrong)).rejects.toThrow(ContentChanged);
    expect(await state(answer.messageId)).toBe('held');
  });

  const meddling = {
    'other bytes': `update contents set bytes = 'something else' where id = (select content_id from messages where id = $1)`,
    'another content row': `update messages set content_id = (select id from contents where id <> content_id limit 1) where id = $1`,
    'another envelope recipient': `update messages set forward_paths = '{eve@evil.example}' where id = $1`,
    'another recipient row': `update recipients set address = 'eve@evil.example' where message_id = $1`,
    'one recipient row more': `insert into recipients (message_id, n, address) values ($1, 7, 'eve@evil.example')`,
    'another reverse-path': `update messages set reverse_path = 'eve@evil.example' where id = $1`,
  };
  test.each(Object.entries(meddling))(
    '%s behind our back: nobody can approve it, whatever they saw',
    async (_, meddle) => {
      const answer = await held();
      await oversight.sql(meddle, [answer.messageId]);
      const refused = await approve(oversight.house, answer).catch((err: unknown) => err);
      expect(refused).toBeInstanceOf(ContentChanged);
      const { digest } = refused as ContentChanged;
      await expect(approve(oversight.house, { ...answer, digest })).rejects.toThrow(ContentChanged);
      expect(await state(answer.messageId)).toBe('held');
    },
  );
});

test('A-05 the clock of the database decides when a hold is over', async () => {
  const answer = await held();
  await oversight.sql('update holds set expires_at = now() where message_id = $1', [answer.messageId]);
  await expect(approve(oversight.house, answer)).rejects.toThrow(Expired);
  await expect(reject(oversight.house, answer)).rejects.toThrow(Expired);
  await oversight.judge(answer.messageId);
  expect(await state(answer.messageId)).toBe('expired');
  await expect(approve(oversight.house, answer)).rejects.toThrow(Expired);
});

test.each([
  ['read_only', 'update mailboxes set oversight_mode = $2 where id = $1', 'read_only'],
  ['closed', 'update mailboxes set is_active = ($2 <> $2) where id = $1', 'account_disabled'],
])('nothing of a %s mailbox can be approved, but it can be rejected', async (word, close, code) => {
  const mailboxId = await oversight.mailbox();
  const answer = await held({ mailboxId });
  await oversight.sql(close, [mailboxId, word]);
  await expect(approve(oversight.house, answer)).rejects.toMatchObject({ code });
  await expect(approve(oversight.house, answer)).rejects.toThrow(MailboxShut);
  expect(await reject(oversight.house, answer)).toMatchObject({ state: 'rejected' });
});

test('what is not there is not found', async () => {
  const nobody = {
    messageId: newId(),
    digest: 'ab'.repeat(32),
    principal: await oversight.principal(),
    actor,
  };
  await expect(approve(oversight.house, nobody)).rejects.toThrow(NotFound);
  await expect(reject(oversight.house, nobody)).rejects.toThrow(NotFound);
  await expect(cancel(oversight.house, nobody)).rejects.toThrow(NotFound);
  await expect(settleDoubt(oversight.house, { ...nobody, outcome: 'sent' })).rejects.toThrow(NotFound);
});

describe('cancel', () => {
  test('stops what has not begun, and says the same again', async () => {
    const { messageId } = await held();
    expect(await cancel(oversight.house, { messageId, actor })).toMatchObject({ repeated: false });
    expect(await cancel(oversight.house, { messageId, actor })).toMatchObject({
      state: 'cancelled',
      repeated: true,
    });
    expect(await oversight.message(messageId)).toMatchObject({ state: 'cancelled', wake_at: null });
    expect(await oversight.hold(messageId)).toBeUndefined();
    await expect(
      approve(oversight.house, {
        messageId,
        digest: 'ab'.repeat(32),
        principal: await oversight.principal(),
        actor,
      }),
    ).rejects.toThrow(ContentChanged);
    const { digest } = await oversight.message(messageId);
    const answer = {
      messageId,
      digest: digest.toString('hex'),
      principal: await oversight.principal(),
      actor,
    };
    await expect(approve(oversight.house, answer)).rejects.toThrow(
      'does not wait for a decision: it is cancelled',
    );
  });

  test('A-06 comes too late once an attempt has begun', async () => {
    const answer = await held();
    await approve(oversight.house, answer);
    const [claimed] = await claim(oversight.database.pool, [answer.messageId], worker);
    expect(claimed).toMatchObject({ id: answer.messageId, digest: answer.digest });
    await expect(cancel(oversight.house, answer)).rejects.toThrow(AlreadyHandedOff);
  });

  test('comes too late between attempts when one recipient was reached', async () => {
    const answer = await held({ forwardPaths: ['a@remote.example', 'b@remote.example'] });
    await approve(oversight.house, answer);
    await oversight.sql(`update recipients set status = 'relayed' where message_id = $1 and n = 0`, [
      answer.messageId,
    ]);
    await expect(cancel(oversight.house, answer)).rejects.toThrow(AlreadyHandedOff);
    await oversight.sql(`update recipients set status = 'deferred' where message_id = $1`, [
      answer.messageId,
    ]);
    expect(await cancel(oversight.house, answer)).toMatchObject({ state: 'cancelled' });
  });

  test('means nothing to what has ended', async () => {
    const answer = await held();
    await reject(oversight.house, answer);
    await expect(cancel(oversight.house, answer)).rejects.toThrow(WrongState);
  });
});

describe('a person settles what is in doubt', () => {
  test.each([
    ['retry', ['in_doubt'], 'queued', ['pending']],
    ['sent', ['in_doubt'], 'relayed', ['relayed']],
    ['failed', ['in_doubt'], 'failed', ['failed']],
    ['sent', ['in_doubt', 'failed'], 'failed', ['relayed', 'failed']],
    ['sent', ['in_doubt', 'deferred'], 'queued', ['relayed', 'deferred']],
    ['failed', ['in_doubt', 'relayed'], 'failed', ['failed', 'relayed']],
    ['retry', ['in_doubt', 'relayed', 'failed'], 'queued', ['pending', 'relayed', 'failed']],
  ] as const)('%s with %j makes the message %s and its recipients %j', async (outcome, before, to, after) => {
    const forwardPaths = before.map((_, n) => `r${n}@remote.example`);
    const mailboxId = await oversight.mailbox({ mode: 'autonomous' });
    const messageId = await oversight.accept({ mailboxId, forwardPaths });
    await oversight.sql(`update messages set state = 'in_doubt' where id = $1`, [messageId]);
    await oversight.sql('update recipients set status = ($2::text[])[n + 1] where message_id = $1', [
      messageId,
      before,
    ]);
    oversight.rung();
    expect(
      await settleDoubt(oversight.house, { messageId, outcome, actor, reason: 'asked them' }),
    ).toMatchObject({ state: to });
    const rows = await oversight.sql<{ status: string }>(
      'select status from recipients where message_id = $1 order by n',
      [messageId],
    );
    expect(rows.map(({ status }) => status)).toEqual(after);
    const message = await oversight.message(messageId);
    expect(message.dsn_owed).toBe(to === 'failed' ? 'failed' : null);
    expect(message.wake_at === null).toBe(to === 'relayed');
    expect(oversight.rung()).toEqual(to === 'relayed' ? [] : [messageId]);
    await expect(settleDoubt(oversight.house, { messageId, outcome, actor })).rejects.toThrow(`it is ${to}`);
  });
});
