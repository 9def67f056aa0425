import fc from 'fast-check';
import { expect, test } from 'vitest';
import { unifiedDiff } from '../../core/mail/line-diff.ts';

const names = { before: 'a', after: 'b' };
const diff = (before: string, after: string) => unifiedDiff(before, after, names);

test('what changed stands between three lines that did not', () => {
  const before = 'one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\n';
  const after = before.replace('five', 'FIVE');
  expect(diff(before, after)).toBe(
    [
      '--- a',
      '+++ b',
      '@@ -2,7 +2,7 @@',
      ' two',
      ' three',
      ' four',
      '-five',
      '+FIVE',
      ' six',
      ' seven',
      ' eight',
    ].join('\n'),
  );
});

test('changes far apart stand in hunks of their own', () => {
  const lines = Array.from({ length: 40 }, (_, i) => `line ${i}`);
  const after = lines.with(3, 'x').with(35, 'y');
  expect(diff(lines.join('\n'), after.join('\n')).match(/^@@.*@@$/gm)).toEqual([
    '@@ -1,7 +1,7 @@',
    '@@ -33,7 +33,7 @@',
  ]);
});

test('equal texts have no diff', () => {
  expect(diff('same\n', 'same\n')).toBe('');
});

/** The text after, as a reader of the diff would make it from the text before. */
function patched(before: string, text: string): string {
  const old = before.replace(/\n$/, '').split('\n');
  const made: string[] = [];
  let at = 0;
  for (const line of text.split('\n').slice(2)) {
    const hunk = /^@@ -(\d+),/.exec(line);
    if (hunk !== null && line.endsWith(' @@')) {
      made.push(...old.slice(at, Number(hunk[1]) - 1));
      at = Number(hunk[1]) - 1;
    } else if (line[0] === '+') made.push(line.slice(1));
    else {
      expect(line.slice(1)).toBe(old[at]);
      if (line[0] === ' ') made.push(old[at]!);
      at += 1;
    }
  }
  return [...made, ...old.slice(at)].join('\n');
}

test('the diff of any two texts makes the one of the other', () => {
  const text = fc.array(fc.constantFrom('a', 'b', 'c', 'd e', '')).map((lines) => lines.join('\n'));
  fc.assert(
    fc.property(text, text, (before, after) => {
      if (before === after) return;
      const made = diff(before, after);
      const same = before.replace(/\n$/, '') === after.replace(/\n$/, '');
      if (!same) expect(patched(before, made)).toBe(after.replace(/\n$/, ''));
    }),
  );
});

test('texts that have nothing in common are shown one after the other, however long', () => {
  const long = (mark: string) => Array.from({ length: 20_000 }, (_, i) => `${mark}${i}`).join('\n');
  const made = diff(long('a'), long('b')).split('\n');
  expect(made).toHaveLength(40_003);
  expect(made.slice(3).findIndex((line) => line.startsWith('+'))).toBe(20_000);
});
