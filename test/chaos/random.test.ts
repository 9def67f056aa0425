/**
 * A long run with everything going wrong: rooms die, Redis forgets or dies, PostgreSQL dies, the next hop
 * defers, refuses and hangs up after the dot; people approve, reject and cancel meanwhile. The seed is
 * printed; POSTERN_TEST_SEED repeats a run's choices.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type State, stepsFrom } from '../../core/mail/lifecycle.ts';
import { startEmbeddedPostgres } from '../../core/runtime/embedded-postgres.ts';
import { createLog } from '../../core/runtime/log.ts';
import { needs } from '../support/needs.ts';
import type { PosternProcess, RoomName } from '../support/postern-process.ts';
import { startRedis, type TestRedis } from '../support/redis.ts';
import { type Chance, chance, fateOf } from './chance.ts';
import { GATED_FROM, type House, openHouse } from './house.ts';

const MESSAGES = Number(process.env.POSTERN_TEST_MESSAGES ?? 2000);
const SEED = Number(process.env.POSTERN_TEST_SEED ?? 20261121);
const SUBMITTERS = 8;

interface Rooms {
  gateway: PosternProcess;
  policy: PosternProcess;
  delivery: PosternProcess;
  api: PosternProcess;
}

interface Run {
  house: House;
  redis: TestRedis;
  rooms: Rooms;
  killPostgres(): void;
  luck: Chance;
  /** Ids for which a client heard 250. */
  accepted: Set<string>;
  /** Ids for which cancel answered success. */
  cancelled: Set<string>;
  over: boolean;
}

test.skipIf(needs('redis-server'))(
  `${MESSAGES} messages survive every fault with each promise kept (seed ${SEED})`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), 'postern-chaos-'));
    const postgres = await startEmbeddedPostgres({ dataDir: folder, log: createLog({ level: 'silent' }) });
    const redis = await startRedis();
    const house = await openHouse({ redis: redis.url, databaseUrl: postgres.url, inDoubt: 'retry' });
    try {
      const rooms = await startRooms(house);
      const run: Run = {
        house,
        redis,
        rooms,
        killPostgres: () => process.kill(postgres.pid, 'SIGKILL'),
        luck: chance(SEED),
        accepted: new Set(),
        cancelled: new Set(),
        over: false,
      };
      fate(house);
      const people = review(run);
      const faults = breakThings(run);
      await Promise.all(Array.from({ length: SUBMITTERS }, (_, n) => submitShare(run, n)));
      run.over = true;
      await faults;
      await settleEverything(run);
      await people.stop();
      await judge(run);
    } finally {
      await house.close();
      await redis.stop();
      await postgres.stop('immediate');
      rmSync(folder, { recursive: true, force: true });
    }
  },
  240_000,
);

async function startRooms(house: House): Promise<Rooms> {
  const [gateway, policy, delivery, api] = await Promise.all(
    (['gateway', 'policy', 'delivery', 'api'] as const).map((room) => house.start(room)),
  );
  return { gateway: gateway!, policy: policy!, delivery: delivery!, api: api! };
}

/** The next hop's moods, by message: 5 in 100 deferred once, 2 cut off after the dot once, 2 refused for good. */
function fate(house: House): void {
  const met = new Set<string>();
  house.sink.play = (point, name) => {
    if (point !== 'dot' || name === '') return 'go';
    const number = fateOf(name);
    if (number >= 7 && number < 9) return '550 5.1.1 nobody of that name';
    if (met.has(name)) return 'go';
    met.add(name);
    if (number < 5) return '451 4.7.1 come back later';
    return number < 7 ? 'drop' : 'go';
  };
}

/** Each message is tried until a 250 is heard, as a client with a queue would. One in five needs approval. */
async function submitShare(run: Run, share: number): Promise<void> {
  for (let n = share; n < MESSAGES; n += SUBMITTERS) {
    const name = `m${n}`;
    for (;;) {
      const from = n % 5 === 0 ? GATED_FROM : undefined;
      const id = await run.house.submit(run.rooms.gateway, name, { from }).catch(() => undefined);
      if (id !== undefined) {
        run.accepted.add(id);
        break;
      }
      await sleep(100);
    }
  }
}

async function breakThings(run: Run): Promise<void> {
  const { luck, house, redis } = run;
  while (!run.over) {
    await sleep(300 + luck.below(700));
    const fault = luck.below(10);
    if (fault < 6) await restart(house, run.rooms, luck.pick(['gateway', 'policy', 'delivery', 'api']));
    else if (fault < 8) await redis.client.flushall().catch(() => {});
    else if (fault < 9) {
      await redis.kill();
      await sleep(200);
      await redis.start();
    } else run.killPostgres();
    await house.hurry().catch(() => {});
  }
}

async function restart(house: House, rooms: Rooms, room: RoomName): Promise<void> {
  await rooms[room].kill();
  for (;;) {
    const fresh = await house.start(room).catch(() => undefined); // PostgreSQL may be coming back just now
    if (fresh === undefined) continue;
    rooms[room] = fresh;
    return;
  }
}

/** A reviewer who approves most, rejects some and lets an admin cancel some, for as long as the run goes on. */
function review(run: Run): { stop(): Promise<void> } {
  let going = true;
  const work = (async () => {
    const [reviewer, admin] = await Promise.all([run.house.reviewerKey(), run.house.adminKey()]);
    while (going) {
      const held = await run.house
        .query<{ id: string; digest: string }>(
          `select id, encode(digest, 'hex') as digest from messages where state = 'held' limit 20`,
        )
        .catch(() => []);
      for (const { id, digest } of held) {
        const number = fateOf(id);
        if (number < 15) {
          const answer = await post(run, admin, `/v1/emails/${id}/cancel`, {});
          if (answer?.ok === true) run.cancelled.add(id);
        } else {
          const action = number < 30 ? 'reject' : 'approve';
          await post(run, reviewer, '/v1/oversight/decide', { email_id: id, action, content_digest: digest });
        }
      }
      await sleep(100);
    }
  })();
  return {
    async stop() {
      going = false;
      await work;
    },
  };
}

function post(run: Run, key: string, path: string, body: object): Promise<Response | undefined> {
  return fetch(`http://127.0.0.1:${run.rooms.api.bound.http}${path}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(5000),
  }).catch(() => undefined);
}

async function settleEverything(run: Run): Promise<void> {
  const live = `select 1 from messages where kind = 'mail' and wake_at is not null limit 1`;
  await run.house.until('every message to end', async () => (await run.house.query(live)).length === 0, {
    hurry: true,
    seconds: 90,
  });
}

interface Row {
  id: string;
  state: State;
  gated: boolean;
  approved: boolean;
  doubts: number;
  sha256: string;
}

/** The oracle: what the sink took against what the rows and the audit log say. */
async function judge({ house, accepted, cancelled }: Run): Promise<void> {
  const rows = await house.query<Row>(
    `select m.id, m.state, m.reverse_path like 'gated@%' as gated, encode(c.sha256, 'hex') as sha256,
        exists (select from approvals a where a.message_id = m.id and a.decision = 'approve' and a.digest = m.digest) as approved,
        (select count(*)::int from audit_events e where e.resource_id = m.id and e.action = 'message.in_doubt') as doubts
       from messages m join contents c on c.id = m.content_id where m.kind = 'mail'`,
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  const taken = Map.groupBy(house.sink.taken, ({ id }) => id);

  expect(
    [...accepted].filter((id) => !byId.has(id)),
    'accepted and forgotten',
  ).toEqual([]);
  expect(
    rows.filter(({ id, state }) => state === 'relayed' && !taken.has(id)).map(({ id }) => id),
    'relayed, and never at the next hop',
  ).toEqual([]);
  expect(
    [...taken].filter(([id, copies]) => copies.length > 1 + byId.get(id)!.doubts).map(([id]) => id),
    'sent more often than doubt is on record',
  ).toEqual([]);
  expect(
    house.sink.taken.filter(({ id, digest }) => byId.get(id)!.sha256 !== digest).map(({ name }) => name),
    'sent with other bytes than were accepted',
  ).toEqual([]);
  expect(
    rows.filter(({ id, gated, approved }) => gated && taken.has(id) && !approved).map(({ id }) => id),
    'gated, and sent without an approval',
  ).toEqual([]);
  expect(
    [...cancelled].filter((id) => taken.has(id)),
    'cancelled, and sent',
  ).toEqual([]);
  expect(await strangePaths(house), 'steps that the lifecycle does not have').toEqual([]);

  const states = await house.states();
  // Otherwise nothing was tried: most arrived, and each other end was reached too.
  expect(states.relayed).toBeGreaterThan(MESSAGES * 0.6);
  expect(states.failed).toBeGreaterThan(0);
  expect(states.cancelled).toBeGreaterThan(0);
  expect(states.rejected).toBeGreaterThan(0);
}

/** Every message's audit rows must form one walk through the lifecycle that ends where its row is. */
async function strangePaths(house: House): Promise<string[]> {
  const events = await house.query<{
    id: string;
    from_state: State | null;
    to_state: State | null;
    state: State;
  }>(
    `select e.resource_id as id, e.from_state, e.to_state, m.state
       from audit_events e join messages m on m.id = e.resource_id
      where e.to_state is not null order by e.seq`,
  );
  const strange: string[] = [];
  for (const [id, walk] of Map.groupBy(events, (event) => event.id)) {
    let at: State | undefined;
    for (const { from_state: from, to_state: to } of walk) {
      const known = from === null ? at === undefined : at === from && leadsTo(from, to!);
      if (!known) strange.push(`${id}: ${at ?? 'nothing'}, then ${from} to ${to}`);
      at = to!;
    }
    if (at !== walk[0]!.state) strange.push(`${id}: audited until ${at}, but ${walk[0]!.state}`);
  }
  return strange;
}

function leadsTo(from: State, to: State): boolean {
  return Object.values(stepsFrom(from)).includes(to);
}

const sleep = (ms: number) => new Promise((done) => setTimeout(done, ms));
