import { describe, expect, test } from 'vitest';
import type { RecipientStatus } from '../../core/mail/lifecycle.ts';
import type { Claim } from '../../core/store/claiming.ts';
import { outcomeOf, type Patience } from '../../delivery/outcome.ts';
import { countedFrom, isDelayed, nextAttempt } from '../../delivery/retry.ts';
import type { Report } from '../../delivery/transport.ts';

const POLICY = { first_seconds: 60, factor: 2, max_seconds: 7200, jitter: 0.2 };
const T0 = new Date('2026-03-01T00:00:00Z');
const later = (seconds: number) => new Date(T0.getTime() + seconds * 1000);

describe('nextAttempt', () => {
  test.each([
    [1, 0.5, 60],
    [2, 0.5, 120],
    [7, 0.5, 3840],
    [8, 0.5, 7200],
    [500, 0.5, 7200],
    [1, 0, 54],
    [1, 0.9999, 66],
  ])('after attempt %i and chance %f the wait is %i seconds', (attempt, random, seconds) => {
    const at = nextAttempt({ since: T0, now: T0, attempt, giveUpAfterHours: 120 }, POLICY, random);
    expect(Math.round((at!.getTime() - T0.getTime()) / 1000)).toBe(seconds);
  });

  test('the last attempt falls on the very end, and after it there is none', () => {
    const end = later(120 * 3600);
    const clock = { since: T0, attempt: 60, giveUpAfterHours: 120 };
    expect(nextAttempt({ ...clock, now: later(120 * 3600 - 10) }, POLICY, 0.5)).toEqual(end);
    expect(nextAttempt({ ...clock, now: end }, POLICY, 0.5)).toBeUndefined();
  });

  test('Q-03: five days of 4xx are some 70 attempts, not thousands', () => {
    let now = T0;
    let attempt = 0;
    for (;;) {
      attempt += 1;
      const next = nextAttempt({ since: T0, now, attempt, giveUpAfterHours: 120 }, POLICY, 0.5);
      if (next === undefined) break;
      now = next;
    }
    expect(attempt).toBeGreaterThan(50);
    expect(attempt).toBeLessThan(80);
  });
});

test.each([
  [3.9, 4, false],
  [4, 4, true],
  [100, 0, false],
])('after %f hours with a notice after %i hours: delayed is %s', (hours, notice, delayed) => {
  expect(isDelayed(T0, later(hours * 3600), notice)).toBe(delayed);
});

test.each([
  ['no pause', undefined, 0],
  ['a pause while it waited', { from: later(100), to: later(400) }, 300],
  ['a pause that began before it came', { from: later(-500), to: later(200) }, 200],
  ['a pause that was over before it came', { from: later(-500), to: later(-100) }, 0],
])('the time of a message is counted without %s', (_what, pause, seconds) => {
  expect(countedFrom(T0, pause)).toEqual(later(seconds));
});

const PATIENCE: Patience = {
  retry: POLICY,
  giveUpAfterHours: 120,
  delayNoticeAfterHours: 4,
  probeSeconds: 180,
};

function claim(given: Partial<Claim> = {}): Claim {
  return {
    id: 'm',
    worker: 'w',
    epoch: 3,
    attempt: 1,
    kind: 'mail',
    source: 'submission',
    mailboxId: 'b',
    mailboxCreatedAt: T0,
    composerId: null,
    agent: null,
    route: null,
    reversePath: 'a@x.example',
    forwardPaths: [],
    recipients: [],
    settled: [],
    smtputf8: false,
    body8bit: false,
    contentId: 'c',
    size: 1,
    digest: '',
    effectiveMode: 'autonomous',
    releasedBy: 'mode',
    approval: null,
    createdAt: T0,
    queuedAt: T0,
    delayReported: false,
    ...given,
  };
}

function report(statuses: RecipientStatus[], trouble: Report['trouble'] = null): Report {
  const recipients = statuses.map((status, n) => ({
    n,
    address: `${n}@y.example`,
    status: status as Exclude<RecipientStatus, 'pending'>,
    code: null,
    enhanced: null,
    text: null,
  }));
  return { recipients, nextHop: null, reply: '', trouble, captureId: null };
}

describe('outcomeOf', () => {
  const early = { now: later(10), since: T0, random: 0.5 };
  const delayed = { now: later(5 * 3600), since: T0, random: 0.5 };
  const late = { now: later(121 * 3600), since: T0, random: 0.5 };

  test.each<[string, RecipientStatus[], Partial<Claim>, typeof early, string, string | null]>([
    ['all relayed', ['relayed', 'relayed'], {}, early, 'relayed', null],
    ['one deferred', ['relayed', 'deferred'], {}, early, 'queued', null],
    ['one failed, one deferred', ['failed', 'deferred'], {}, early, 'queued', 'failed'],
    ['one failed', ['relayed', 'failed'], {}, early, 'failed', 'failed'],
    ['one in doubt', ['relayed', 'in_doubt'], {}, early, 'in_doubt', null],
    ['relayed now, failed before', ['relayed'], { settled: ['failed'] }, early, 'failed', 'failed'],
    ['relayed now, in doubt before', ['relayed'], { settled: ['in_doubt'] }, early, 'in_doubt', null],
    ['deferred for five hours', ['deferred'], {}, delayed, 'queued', 'delayed'],
    ['deferred for five hours, and said so', ['deferred'], { delayReported: true }, delayed, 'queued', null],
    [
      'a copy deferred for five hours',
      ['deferred'],
      { kind: 'copy', source: 'postern' },
      delayed,
      'queued',
      null,
    ],
    ['deferred for five days', ['deferred'], {}, late, 'failed', 'failed'],
    ['an API message that failed', ['failed'], { source: 'rest' }, early, 'failed', null],
    ['a copy that failed', ['failed'], { kind: 'copy', source: 'postern' }, early, 'failed', 'failed'],
  ])('%s', (_what, statuses, given, at, to, dsnOwed) => {
    const outcome = outcomeOf(claim(given), report(statuses), 'r', PATIENCE, at);
    expect([outcome.to, outcome.dsnOwed]).toEqual([to, dsnOwed]);
    expect(outcome.wakeAt === null).toBe(to === 'relayed' || to === 'failed');
  });

  test('a route that refuses us uses up no time: the message waits for the probe, however old', () => {
    const trouble = { kind: 'auth', reason: 'no' } as const;
    const outcome = outcomeOf(claim(), report(['deferred'], trouble), 'r', PATIENCE, late);
    expect(outcome.to).toBe('queued');
    expect(outcome.wakeAt).toEqual(later(121 * 3600 + 180));
  });
});
