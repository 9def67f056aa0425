import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isGated, isMode, MODES, strictest } from '../../core/mail/mode.ts';

const mode = fc.constantFrom(...MODES);
const asked = fc.option(mode, { nil: null });

test('the strictest of several is one of them, and none is stricter', () => {
  fc.assert(
    fc.property(mode, fc.array(asked), (first, others) => {
      const result = strictest(first, ...others);
      const given = [first, ...others.filter((one) => one !== null)];
      expect(given).toContain(result);
      for (const one of given) expect(MODES.indexOf(one)).toBeLessThanOrEqual(MODES.indexOf(result));
    }),
  );
});

test('a caller never loosens: asking for more never makes a mode less strict, in whatever order', () => {
  fc.assert(
    fc.property(mode, asked, asked, (first, second, third) => {
      expect(MODES.indexOf(strictest(first, second))).toBeGreaterThanOrEqual(MODES.indexOf(first));
      expect(strictest(first, second, third)).toBe(strictest(first, third, second));
      expect(strictest(strictest(first, second), third)).toBe(strictest(first, second, third));
    }),
  );
});

test.each([
  ['autonomous', false],
  ['monitored', false],
  ['gated_send', true],
  ['gated_all', true],
  ['read_only', true],
] as const)('%s is gated: %s', (one, gated) => {
  expect(isGated(one)).toBe(gated);
});

test.each(['', 'Gated_send', 'gated_send ', 'none', 'constructor'])('%j is no mode', (text) => {
  expect(isMode(text)).toBe(false);
});
