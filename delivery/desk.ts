/**
 * Where bells are answered: every id goes to the way out it needs, or to the duty that is owed for it.
 *
 *   ids ─▶ one way in use, and open? ─yes▶ its backlog ─claim─▶ attempt
 *            │ no                                      └─ the rest ─┐
 *            └──────────────▶ look at the rows ◀────────────────────┘
 *                               ├─ queued, due ─▶ backlog of its route | probe | sleep | give up | hold
 *                               ├─ owes a report ─▶ reports
 *                               └─ in doubt ─▶ doubts
 */
import { newId } from '../core/mail/id.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { type Claim, claiming, claimsHeld, holdUngated } from '../core/store/claiming.ts';
import { giveUp, type Look, lookAt, postpone, routesInUse } from '../core/store/routes.ts';
import { type Attempt, attempt } from './attempt.ts';
import { Bodies, type Body } from './bodies.ts';
import type { Closures } from './closures.ts';
import type { Duties } from './duties.ts';
import type { Finisher } from './finish.ts';
import type { Lease } from './lease.ts';
import { type Marker, openMarker } from './marks.ts';
import { countedFrom } from './retry.ts';
import { nobodyLeft, type Spared, spare } from './spare.ts';
import type { Way } from './way.ts';

export interface DeskOptions {
  runtime: Runtime;
  lease: Lease;
  ways: ReadonlyMap<string, Way>;
  defaultRoute: string;
  closures: Closures;
  finisher: Finisher;
  duties: Duties;
}

const HOUR = 3_600_000;

export class Desk {
  readonly #options: DeskOptions;
  readonly #claims: ReturnType<typeof claiming>;
  readonly #bodies: Bodies;
  readonly #marks: Marker;
  readonly #ready = new Map<string, Body>();
  /** What this process has claimed or is about to: a second bell for it says nothing new. */
  readonly #underWay = new Set<string>();
  #several = true;
  #stopped = false;

  constructor(options: DeskOptions) {
    this.#options = options;
    const { runtime, lease } = options;
    this.#claims = claiming(
      runtime.database,
      () => lease.worker,
      (n) => runtime.metrics.batch('claim', n),
    );
    this.#bodies = new Bodies(runtime);
    this.#marks = openMarker(runtime);
  }

  /** Learns which routes are in use; called now and then, for mailboxes change. */
  async refresh(): Promise<void> {
    const routes = await routesInUse(this.#options.runtime.database.pool);
    const { ways, defaultRoute, runtime } = this.#options;
    this.#several = routes.some((route) => route !== defaultRoute);
    if (routes.every((route) => ways.has(route))) runtime.metrics.alarm('route_unknown', false);
  }

  receive(ids: string[]): void {
    if (this.#stopped) return;
    const fresh = ids.filter((id) => !this.#underWay.has(id));
    const only = this.#options.ways.get(this.#options.defaultRoute)!;
    if (!this.#several && only.open) only.add(fresh);
    else this.#sort(fresh, { claimed: false });
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Waits until nothing is under way, for at most `withinMs`. */
  async idle(withinMs: number): Promise<void> {
    const until = performance.now() + withinMs;
    while (this.#underWay.size > 0 && performance.now() < until) {
      await new Promise((go) => setTimeout(go, 5));
    }
  }

  /** Takes what may be sent now; see WayOptions.claim. */
  async claim(ids: string[]): Promise<Claim[]> {
    const { lease } = this.#options;
    const mine = ids.filter((id) => !this.#underWay.has(id));
    const { worker } = lease;
    if (this.#stopped || mine.length === 0 || !lease.holds(worker)) return [];
    for (const id of mine) this.#underWay.add(id);
    const claims = await this.#claims.add(mine).catch((err: unknown) => this.#claimsAfter(err, mine, worker));
    const claimed = new Set(claims.map(({ id }) => id));
    for (const id of mine) if (!claimed.has(id)) this.#underWay.delete(id);
    for (const [id, body] of this.#bodies.of(claims)) this.#ready.set(id, body);
    return claims;
  }

  /** One attempt from the claim to its written end; see WayOptions.attempt. */
  async attempt(way: Way, claim: Claim): Promise<void> {
    const { finisher, runtime } = this.#options;
    const began = performance.now();
    const body = this.#ready.get(claim.id)!;
    const spared = await spare(claim, runtime.suppressed);
    const made = await this.#send(spared, body, this.#wayFor(claim, way));
    if (made.tampered)
      runtime.log.error({ message: claim.id, reason: made.report.reply }, 'not sent: look at this message');
    this.#ready.delete(claim.id);
    made.report.recipients.push(...spared.others);
    await finisher.finish(this.#wayFor(claim, way), claim, made, performance.now() - began);
    this.#underWay.delete(claim.id);
  }

  async #send(spared: Spared, body: Body, { transport }: Way): Promise<Attempt> {
    const { claim } = spared;
    if (claim.recipients.length > 0)
      return attempt(claim, body, transport, this.#marks, () => this.#options.lease.holds(claim.worker));
    body.done();
    return nobodyLeft(spared);
  }

  /** What was not claimed: someone else was faster, the gate is shut, or it needs something else. */
  rest(ids: string[]): void {
    this.#sort(ids, { claimed: true });
  }

  /** The route as it was when the message was claimed is the one that counts. */
  #wayFor({ route }: Claim, way: Way): Way {
    return this.#options.ways.get(route ?? this.#options.defaultRoute) ?? way;
  }

  #sort(ids: string[], { claimed }: { claimed: boolean }): void {
    if (ids.length === 0 || this.#stopped) return;
    this.#sorted(ids, claimed).catch((err: unknown) => {
      this.#options.runtime.log.warn({ err }, 'bells could not be answered: the sweeper rings again');
    });
  }

  async #sorted(ids: string[], claimed: boolean): Promise<void> {
    const { runtime, duties } = this.#options;
    const looks = (await lookAt(runtime.database.pool, ids)).filter(({ id }) => !this.#underWay.has(id));
    const due = looks.filter(({ state, due }) => state === 'queued' && due);
    await duties.perform(looks);
    if (due.length === 0) return;
    if (claimed) await this.#hold(due.map(({ id }) => id));
    else await this.#sendOut(due);
  }

  async #hold(ids: string[]): Promise<void> {
    const { database, log } = this.#options.runtime;
    const held = await holdUngated(database.pool, ids, newId);
    if (held.length > 0) log.warn({ messages: held }, 'held: about to leave without a valid approval');
  }

  async #sendOut(due: Look[]): Promise<void> {
    for (const [name, looks] of groupBy(due, ({ route }) => route ?? this.#options.defaultRoute)) {
      const way = this.#options.ways.get(name);
      if (way?.open) way.add(looks.map(({ id }) => id));
      else await this.#wait(way, name, looks);
    }
  }

  /** Mail whose route is closed: one may try it, the others sleep, and who has slept for too long ends. */
  async #wait(way: Way | undefined, name: string, looks: Look[]): Promise<void> {
    const { runtime, closures } = this.#options;
    const { give_up_after_hours, delay_notice_after_hours } = runtime.config.delivery;
    const [first] = looks;
    if (way !== undefined && (await closures.mayProbe(way))) {
      way.probe(first!.id);
      looks = looks.slice(1);
    }
    if (way === undefined) this.#unknown(name);
    // A pause is about a setting of ours and uses up nobody's time; a next hop that is gone does.
    const late =
      way === undefined || way.paused !== undefined ? [] : this.#late(way, looks, give_up_after_hours);
    if (late.length > 0) {
      const ended = await giveUp(runtime.database.pool, late, 'the next hop could not be reached in time');
      runtime.bells.ring('delivery', ended);
    }
    const seconds = way === undefined ? 300 : closures.sleepSeconds(way);
    const sleeping = looks.map(({ id }) => id).filter((id) => !late.includes(id));
    const owed = await postpone(runtime.database.pool, sleeping, {
      seconds,
      delayHours: delay_notice_after_hours,
    });
    if (owed.length > 0) runtime.bells.ring('delivery', owed);
  }

  #late({ name }: Way, looks: Look[], hours: number): string[] {
    const end = Date.now() - hours * HOUR;
    const pause = this.#options.closures.lastPause(name);
    return looks.filter(({ queuedAt }) => countedFrom(queuedAt, pause).getTime() < end).map(({ id }) => id);
  }

  #unknown(name: string): void {
    this.#options.runtime.metrics.alarm('route_unknown', true);
    this.#options.runtime.log.error(
      { route: name },
      'a mailbox names a route that is not configured: its mail is kept',
    );
  }

  /** The connection broke while claiming: what was committed under our name is ours to send, once the store is back. */
  async #claimsAfter(err: unknown, ids: string[], worker: string): Promise<Claim[]> {
    const { runtime, lease } = this.#options;
    runtime.log.warn({ err }, 'claiming failed');
    while (lease.holds(worker) && !this.#stopped) {
      await new Promise((go) => setTimeout(go, 200));
      try {
        return await claimsHeld(runtime.database.pool, ids, worker);
      } catch {
        // the store is still away
      }
    }
    return [];
  }
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) groups.set(key(item), [...(groups.get(key(item)) ?? []), item]);
  return groups;
}
