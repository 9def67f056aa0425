/**
 * Everybody at once: reviewers, senders, the clock, delivery workers, operators and a forger act on the same few
 * messages over several connections, in an order that fast-check chooses. Whatever happens, the audit tells one
 * story that the lifecycle allows, and nothing gated leaves without an approval.
 *
 * A failure prints seed and path: `POSTERN_TEST_SEED=… npx vitest run --project fuzz test/fuzz/review.test.ts`.
 */
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { system } from '../../core/mail/actor.ts';
import { newId } from '../../core/mail/id.ts';
import { isFinal, type State, stepsFrom } from '../../core/mail/lifecycle.ts';
import { claim, holdUngated } from '../../core/store/claiming.ts';
import { beginLease } from '../../core/store/leases.ts';
import { approve, cancel, ReviewRefusal, reject, settleDoubt } from '../../policy/review.ts';
import { type Oversight, openOversight } from '../support/oversight.ts';

let oversight: Oversight;
const workers = [newId(), newId()];
let people: { id: string; name: string }[];

beforeAll(async () => {
  oversight = await openOversight();
  for (const id of workers)
    await beginLease(oversight.database.pool, { id, room: 'delivery', leaseSeconds: 3600 });
  people = await Promise.all([oversight.principal(), oversight.principal(), oversight.principal()]);
});
afterAll(() => oversight.close());

/** POSTERN_TEST_RUNS asks for more runs than the usual ones, and gives them their time. */
const TIME_MS = process.env.POSTERN_TEST_RUNS === undefined ? 12_000 : 600_000;
const COMPOSER = 2;
const actor = system('api');

interface Act {
  verb:
    | 'approve'
    | 'approveWrong'
    | 'reject'
    | 'cancel'
    | 'judge'
    | 'expire'
    | 'claim'
    | 'shut'
    | 'forge'
    | 'mode'
    | 'lose';
  who: number;
  /** Hundredths of milliseconds to wait first, so that the same acts meet in other orders. */
  after: number;
  mode: string;
}

const MODES = ['autonomous', 'monitored', 'gated_send', 'gated_all', 'read_only'];

const act: fc.Arbitrary<Act> = fc.record({
  verb: fc.oneof(
    ...(
      [
        [5, 'approve'], [1, 'approveWrong'], [3, 'reject'], [3, 'cancel'], [3, 'judge'], [1, 'expire'],
        [5, 'claim'], [2, 'shut'], [1, 'forge'], [2, 'mode'], [1, 'lose'],
      ] as const
    ).map(([weight, verb]) => ({ weight, arbitrary: fc.constant(verb) })),
  ), // biome-ignore format: weights beside their verbs
  who: fc.nat({ max: 2 }),
  after: fc.nat({ max: 300 }),
  mode: fc.constantFrom(...MODES),
});

const scene = fc.record({
  mode: fc.constantFrom(...MODES),
  requestedMode: fc.constantFrom(null, 'gated_send' as const),
  judgedFirst: fc.boolean(),
  acts: fc.array(act, { minLength: 2, maxLength: 14 }),
});

interface Done {
  act: Act;
  result: 'won' | 'repeated' | 'refused' | 'nothing';
}

/** Does one act; what it answers counts as a promise. Anything but a refusal is a fault. */
async function perform(one: Act, id: string, digest: string, mailboxId: string): Promise<Done> {
  await new Promise((go) => setTimeout(go, one.after / 100));
  const answer = { messageId: id, digest, principal: people[one.who]!, actor };
  const { house, database, sql } = oversight;
  const asked = async (work: Promise<{ repeated: boolean }>): Promise<Done> => {
    try {
      return { act: one, result: (await work).repeated ? 'repeated' : 'won' };
    } catch (err) {
      if (err instanceof ReviewRefusal) return { act: one, result: 'refused' };
      throw err;
    }
  };
  switch (one.verb) {
    case 'approve':
      return asked(approve(house, answer));
    case 'approveWrong':
      return asked(approve(house, { ...answer, digest: 'ab'.repeat(32) }));
    case 'reject':
      return asked(reject(house, answer));
    case 'cancel':
      return asked(cancel(house, answer));
    case 'judge':
      await oversight.judge(id);
      break;
    case 'expire':
      await sql('update holds set expires_at = now() where message_id = $1 and closed_at is null', [id]);
      await oversight.judge(id);
      break;
    case 'claim': {
      const [claimed] = await claim(database.pool, [id], workers[one.who % 2]!);
      return { act: one, result: claimed === undefined ? 'nothing' : 'won' };
    }
    case 'lose': {
      // Its worker died while sending; a person says: send it again.
      const lost = `update messages set state = 'in_doubt', lease_epoch = lease_epoch + 1 where id = $1 and state = 'relaying'
        returning mailbox_id`;
      const audited = `with lost as (${lost}) insert into audit_events
        (action, resource_type, resource_id, mailbox_id, actor_type, actor_name, from_state, to_state)
        select 'message.in_doubt', 'message', $1, mailbox_id, 'system', 'test', 'relaying', 'in_doubt' from lost`;
      await sql(audited, [id]);
      await settleDoubt(house, { messageId: id, outcome: 'retry', actor }).catch(() => {});
      break;
    }
    case 'shut':
      await holdUngated(database.pool, [id], newId);
      break;
    case 'forge':
      // A hand in the database: it can move the row, but not conjure the approval.
      await sql(
        `update messages set state = 'queued', wake_at = now() where id = $1 and state in ('held', 'received', 'scheduled')`,
        [id],
      );
      break;
    case 'mode':
      await sql('update mailboxes set oversight_mode = $2 where id = $1', [mailboxId, one.mode]);
      break;
  }
  return { act: one, result: 'nothing' };
}

interface Event {
  action: string;
  from_state: State | null;
  to_state: State | null;
  metadata: { effective_mode?: string };
}

/** The audit is a path in the lifecycle. A forged `queued` is the one jump it may not explain. */
function expectOneStory(events: Event[], forged: boolean): void {
  let at: State | null = null;
  for (const { from_state, to_state } of events) {
    const jumped = forged && from_state === 'queued';
    if (!jumped) expect(from_state).toBe(at);
    if (from_state !== null) expect(Object.values(stepsFrom(from_state))).toContain(to_state);
    at = to_state;
  }
}

const GATED = ['gated_send', 'gated_all', 'read_only'];

async function check(id: string, done: Done[], events: Event[]): Promise<void> {
  const forged = done.some(({ act }) => act.verb === 'forge');
  expectOneStory(events, forged);
  const row = await oversight.message(id);
  const last = events.at(-1)!.to_state!;
  if (!(forged && row.state === 'queued')) expect(row.state).toBe(last);
  expect(row.wake_at === null).toBe(isFinal(row.state) && row.dsn_owed === null);

  const actions = events.map(({ action }) => action);
  const wonBy = (verb: Act['verb']) =>
    done.filter(({ act, result }) => act.verb === verb && result === 'won');
  // Whoever was told that they won stands in the audit, and nobody else does.
  expect(wonBy('approve').length).toBe(actions.filter((action) => action === 'message.approved').length);
  expect(wonBy('reject').length).toBe(actions.filter((action) => action === 'message.rejected').length);
  expect(wonBy('cancel').length).toBe(actions.filter((action) => action === 'message.cancelled').length);
  expect(wonBy('claim').length).toBe(actions.filter((action) => action === 'message.attempted').length);
  // One hold has one answer: between two decisions it must have been held again.
  const answers = ['message.approved', 'message.rejected', 'message.expired', 'message.cancelled'];
  const holds = actions.filter((action) => action === 'message.held').length;
  expect(actions.filter((action) => answers.includes(action)).length).toBeLessThanOrEqual(holds + 1);
  expect([...wonBy('reject'), ...wonBy('cancel')].length).toBeLessThanOrEqual(1);
  // The composer and the wrong digest never win.
  for (const { act, result } of done) {
    if (['approve', 'reject'].includes(act.verb) && act.who === COMPOSER) expect(result).not.toBe('won');
    if (act.verb === 'approveWrong') expect(result).toBe('refused');
  }
  // A cancel that answered success is never followed by an attempt.
  const cancelled = actions.indexOf('message.cancelled');
  if (cancelled !== -1) expect(actions.slice(cancelled)).not.toContain('message.attempted');
  // Nothing gated begins without an approval before it.
  events.forEach(({ action, metadata }, n) => {
    if (action === 'message.attempted' && GATED.includes(metadata.effective_mode!))
      expect(actions.slice(0, n)).toContain('message.approved');
  });
  // One open hold exactly while it is held.
  expect((await oversight.hold(id)) !== undefined).toBe(row.state === 'held');
}

test(
  'whatever races, exactly one wins and the audit tells one lawful story',
  async () => {
    const seed = Number(process.env.POSTERN_TEST_SEED ?? Date.now() % 2 ** 31);
    const verbs = new Map<string, number>();
    const steps = new Set<string>();
    await fc.assert(
      fc.asyncProperty(scene, async ({ mode, requestedMode, judgedFirst, acts }) => {
        const mailboxId = await oversight.mailbox({ mode });
        const composerId = people[COMPOSER]!.id;
        const id = await oversight.accept({ mailboxId, composerId, requestedMode });
        const digest = (await oversight.message(id)).digest.toString('hex');
        if (judgedFirst) await oversight.judge(id);
        const done = await Promise.all(acts.map((one) => perform(one, id, digest, mailboxId)));
        // Whoever moved the row by hand, delivery's next look puts it back.
        await holdUngated(oversight.database.pool, [id], newId);
        const events = (await oversight.audit(id)).filter(({ to_state }) => to_state !== null) as Event[];
        for (const { act, result } of done) {
          const key = `${act.verb} ${result}`;
          verbs.set(key, (verbs.get(key) ?? 0) + 1);
        }
        for (const { from_state, to_state } of events) steps.add(`${from_state} -> ${to_state}`);
        await check(id, done, events);
      }),
      { seed, numRuns: Number(process.env.POSTERN_TEST_RUNS ?? 400), interruptAfterTimeLimit: TIME_MS },
    );
    // The property is worth something only if each kind of meeting happened.
    for (const won of [
      'approve won',
      'reject won',
      'cancel won',
      'claim won',
      'approve refused',
      'cancel refused',
    ])
      expect(verbs.get(won), `${won} in ${JSON.stringify([...verbs])}`).toBeGreaterThan(5);
    for (const step of [
      'held -> queued',
      'held -> rejected',
      'held -> expired',
      'queued -> held',
      'queued -> cancelled',
    ])
      expect(steps).toContain(step);
  },
  2 * TIME_MS,
);
