/**
 * What one process counts, for Prometheus. Labels are fixed words of ours and never come from mail, a
 * peer or a caller: their number bounds the memory, and they give nothing away.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { RecipientStatus, State, Step } from '../mail/lifecycle.ts';

export type Source = 'submission' | 'trusted' | 'mx' | 'rest' | 'postern';
export type Listener = 'submission' | 'submissions' | 'mx' | 'trusted';
/** How a session ended: said QUIT, fell silent, was closed by us, by the peer, or with us. */
export type SessionEnd = 'quit' | 'timeout' | 'refused' | 'dropped' | 'shutdown';
/** How an attempt at one message ended. */
export type AttemptEnd = 'relayed' | 'deferred' | 'failed' | 'in_doubt';
export type Alarm =
  | 'route_auth'
  | 'route_tls'
  | 'route_unknown'
  | 'in_doubt'
  | 'oversight_copy'
  | 'reputation'
  | 'content'
  | 'database'
  | 'redis'
  | 'backpressure'
  | 'disk'
  | 'certificate';

/** What has happened stays so: nothing that Postern could see ends these. */
const PASSING: readonly Alarm[] = ['content', 'oversight_copy'];
const PASSES_MS = 86_400_000;

export interface Metrics {
  readonly registry: Registry;
  accepted(source: Source, messages?: number): void;
  session(listener: Listener, end: SessionEnd): void;
  openSessions(listener: Listener, change: 1 | -1): void;
  /** A reply of ours with 4xx or 5xx: one of REFUSALS. */
  refused(listener: Listener, reply: { code: number; enhanced: string }): void;
  login(outcome: 'accepted' | 'refused' | 'throttled'): void;
  verdict(step: Step, messages?: number): void;
  review(step: Step | 'edit', outcome: 'done' | 'stale' | 'refused'): void;
  attempt(end: AttemptEnd, messages?: number): void;
  recipients(status: RecipientStatus, count?: number): void;
  /** Seconds from the 250 to the next hop's 250. */
  latency(seconds: number): void;
  batch(kind: string, rows: number): void;
  /** Asked at each scrape, so that a quiet system does no counting. */
  watchDepth(depths: () => Promise<Partial<Record<State, number>>>): void;
  swept(messages: number): void;
  dsn(kind: 'failed' | 'delayed' | 'rejected' | 'expired' | 'unknown' | 'dropped'): void;
  /** One of what has happened, and not of a condition that ends, is over after a day without another. */
  alarm(kind: Alarm, on: boolean): void;
}

/** A registry of its own, so that several may live in one process (tests); `defaults` adds Node's own figures. */
export function createMetrics({ defaults = false }: { defaults?: boolean } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  if (defaults) collectDefaultMetrics({ register: registry });
  const counter = <L extends string>(name: string, help: string, ...labelNames: L[]) =>
    new Counter({ name: `postern_${name}`, help, labelNames, registers });

  const accepted = counter('messages_accepted_total', 'Messages committed', 'source');
  const sessions = counter('smtp_sessions_total', 'SMTP sessions ended', 'listener', 'end');
  const refused = counter('smtp_refusals_total', 'Refusals spoken', 'listener', 'code', 'enhanced');
  const logins = counter('smtp_logins_total', 'AUTH attempts', 'outcome');
  const verdicts = counter('verdicts_total', 'Messages judged', 'step');
  const reviews = counter('reviews_total', 'Answers of reviewers', 'step', 'outcome');
  const attempts = counter('delivery_attempts_total', 'Attempts at a message', 'end');
  const recipients = counter('recipients_total', 'Recipients by how an attempt left them', 'status');
  const swept = counter('swept_total', 'Messages the sweeper rang for');
  const dsns = counter('dsn_total', 'Reports to senders', 'kind');
  const open = new Gauge({
    name: 'postern_smtp_sessions_open',
    help: 'SMTP sessions open',
    labelNames: ['listener'],
    registers,
  });
  const raised = new Map<Alarm, number>();
  const alarms = new Gauge({
    name: 'postern_alarm',
    help: '1 while something needs a person',
    labelNames: ['kind'],
    registers,
    collect() {
      for (const kind of PASSING)
        if (Date.now() - (raised.get(kind) ?? Infinity) > PASSES_MS) this.set({ kind }, 0);
    },
  });
  const latency = new Histogram({
    name: 'postern_delivery_seconds',
    help: 'From our 250 to the 250 of the next hop, held time included',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60, 600, 3600, 86_400],
    registers,
  });
  const batches = new Histogram({
    name: 'postern_batch_rows',
    help: 'Rows in one group commit',
    labelNames: ['kind'],
    buckets: [1, 2, 5, 10, 20, 50, 100, 200],
    registers,
  });

  return {
    registry,
    accepted: (source, messages = 1) => accepted.inc({ source }, messages),
    session: (listener, end) => sessions.inc({ listener, end }),
    openSessions: (listener, change) => open.inc({ listener }, change),
    refused: (listener, { code, enhanced }) => refused.inc({ listener, code, enhanced }),
    login: (outcome) => logins.inc({ outcome }),
    verdict: (step, messages = 1) => verdicts.inc({ step }, messages),
    review: (step, outcome) => reviews.inc({ step, outcome }),
    attempt: (end, messages = 1) => attempts.inc({ end }, messages),
    recipients: (status, count = 1) => recipients.inc({ status }, count),
    latency: (seconds) => latency.observe(seconds),
    batch: (kind, rows) => batches.observe({ kind }, rows),
    watchDepth: (depths) => watchDepth(registry, depths),
    swept: (messages) => swept.inc(messages),
    dsn: (kind) => dsns.inc({ kind }),
    alarm(kind, on) {
      if (on) raised.set(kind, Date.now());
      alarms.set({ kind }, on ? 1 : 0);
    },
  };
}

function watchDepth(registry: Registry, depths: () => Promise<Partial<Record<State, number>>>): void {
  new Gauge({
    name: 'postern_messages',
    help: 'Messages by state',
    labelNames: ['state'],
    registers: [registry],
    async collect() {
      // without the database there is no figure, but the others are still told
      const counted = await depths().catch(() => undefined);
      this.reset();
      for (const [state, count] of Object.entries(counted ?? {})) this.set({ state }, count);
    },
  });
}
