import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  after,
  isFinal,
  RECIPIENT_STATUSES,
  STATES,
  type State,
  type Step,
  statesBefore,
  stepAfterAttempt,
  stepsFrom,
} from '../../core/mail/lifecycle.ts';

/** The whole table once more, in words, so that no step appears or vanishes unnoticed. */
const LAWFUL = `
  received release queued      received hold held          received schedule scheduled  received refuse rejected
  received deliver available   received cancel cancelled
  held approve queued          held postpone scheduled     held admit available         held reject rejected
  held expire expired          held cancel cancelled
  scheduled release queued     scheduled hold held         scheduled cancel cancelled
  scheduled revise received
  queued begin relaying        queued hold held            queued fail failed           queued cancel cancelled
  relaying relay relayed       relaying defer queued       relaying fail failed         relaying lose in_doubt
  in_doubt retry queued        in_doubt settle relayed     in_doubt fail failed
  available quarantine held`
  .trim()
  .split(/\s{2,}/)
  .map((words) => words.split(' '));

const steps = STATES.flatMap((from) => Object.entries(stepsFrom(from)).map(([step, to]) => [from, step, to]));

test('the steps are these and no others', () => {
  expect(steps.map((words) => words.join(' ')).sort()).toEqual(LAWFUL.map((words) => words.join(' ')).sort());
});

test('a step that a state does not know is an error that names both', () => {
  expect(() => after('relayed', 'begin')).toThrow('cannot begin a message that is relayed');
  expect(() => after('held', 'begin')).toThrow('cannot begin a message that is held');
});

test.each(['relayed', 'failed', 'rejected', 'expired', 'cancelled', 'available'] as State[])(
  '%s is an end',
  (state) => {
    expect(isFinal(state)).toBe(true);
  },
);

test('every state can be reached from received, and from every state an end can be reached', () => {
  expect([...reachable('received')].sort()).toEqual([...STATES].sort());
  for (const state of STATES) expect([...reachable(state)].some(isFinal)).toBe(true);
});

test('a message can be cancelled until an attempt begins, and never after', () => {
  expect(statesBefore('cancel').sort()).toEqual(['held', 'queued', 'received', 'scheduled']);
  expect(statesBefore('begin')).toEqual(['queued']);
});

test('only mail that has arrived can be put into quarantine again, and nothing that waited to leave', () => {
  expect(statesBefore('quarantine')).toEqual(['available']);
});

test('from held, every way towards delivery is a decision of a person', () => {
  const ways = Object.entries(stepsFrom('held')).filter(([, to]) => !isFinal(to!) || to === 'available');
  expect(ways.map(([step]) => step).sort()).toEqual(['admit', 'approve', 'postpone']);
});

test('whatever steps a message takes, it ends where the table says', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(), { maxLength: 30 }), (choices) => {
      let state: State = 'received';
      for (const choice of choices) {
        const possible: Step[] = Object.keys(stepsFrom(state)) as Step[];
        if (possible.length === 0) return;
        state = after(state, possible[choice % possible.length]!);
        expect(STATES).toContain(state);
      }
    }),
  );
});

test.each([
  [['relayed', 'relayed'], 'relay'],
  [['relayed', 'failed'], 'fail'],
  [['failed'], 'fail'],
  [['relayed', 'deferred', 'failed'], 'defer'],
  [['pending', 'failed'], 'defer'],
  [['relayed', 'in_doubt', 'deferred'], 'lose'],
] as const)('after an attempt that left %j the message takes the step %s', (statuses, step) => {
  expect(stepAfterAttempt([...statuses])).toBe(step);
});

test('the step after an attempt does not depend on the order of the recipients', () => {
  const statuses = fc.array(fc.constantFrom(...RECIPIENT_STATUSES), { minLength: 1 });
  fc.assert(
    fc.property(statuses, (given) => {
      expect(stepAfterAttempt(given.toReversed())).toBe(stepAfterAttempt(given));
      expect(stepsFrom('relaying')[stepAfterAttempt(given)]).toBeDefined();
    }),
  );
});

function reachable(from: State, seen = new Set<State>([from])): Set<State> {
  for (const to of Object.values(stepsFrom(from))) {
    if (seen.has(to)) continue;
    seen.add(to);
    reachable(to, seen);
  }
  return seen;
}
