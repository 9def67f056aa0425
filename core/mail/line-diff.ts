/**
 * What changed between two texts, as a unified diff: lines that went begin with `-`, lines that came with `+`, and
 * three lines around them stand as they are. Empty when nothing changed.
 */
type Edit = { sign: ' ' | '-' | '+'; line: string };

const CONTEXT = 3;
/** Texts that differ in more lines than this are shown as one block that went and one that came. */
const STEPS = 400;

export function unifiedDiff(before: string, after: string, names: { before: string; after: string }): string {
  if (before === after) return '';
  const edits = editsBetween(linesOf(before), linesOf(after));
  return [`--- ${names.before}`, `+++ ${names.after}`, ...hunks(edits)].join('\n');
}

function linesOf(text: string): string[] {
  return text.replace(/\n$/, '').split('\n');
}

/** What both begin and end with is set aside first: of a long text usually little is left. */
function editsBetween(a: string[], b: string[]): Edit[] {
  let head = 0;
  while (head < a.length && head < b.length && a[head] === b[head]) head += 1;
  let tail = 0;
  while (tail < a.length - head && tail < b.length - head && a.at(-1 - tail) === b.at(-1 - tail)) tail += 1;
  const kept = (line: string): Edit => ({ sign: ' ', line });
  return [
    ...a.slice(0, head).map(kept),
    ...middle(a.slice(head, a.length - tail), b.slice(head, b.length - tail)),
    ...a.slice(a.length - tail).map(kept),
  ];
}

/** The shortest way from one to the other (E. Myers, An O(ND) difference algorithm, 1986). */
function middle(a: string[], b: string[]): Edit[] {
  const furthest = new Map<number, number>([[1, 0]]);
  const trail: Map<number, number>[] = [];
  for (let d = 0; d <= Math.min(STEPS, a.length + b.length); d++) {
    trail.push(new Map(furthest));
    for (let k = -d; k <= d; k += 2) {
      let x = comesFromAbove(furthest, k, d) ? furthest.get(k + 1)! : furthest.get(k - 1)! + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      furthest.set(k, x);
      if (x >= a.length && x - k >= b.length) return walkedBack(a, b, trail);
    }
  }
  return [...a.map((line): Edit => ({ sign: '-', line })), ...b.map((line): Edit => ({ sign: '+', line }))];
}

function comesFromAbove(furthest: Map<number, number>, k: number, d: number): boolean {
  return k === -d || (k !== d && furthest.get(k - 1)! < furthest.get(k + 1)!);
}

function walkedBack(a: string[], b: string[], trail: Map<number, number>[]): Edit[] {
  const edits: Edit[] = [];
  let x = a.length;
  let y = b.length;
  for (let d = trail.length - 1; d >= 0; d--) {
    const furthest = trail[d]!;
    const k = x - y;
    const from = comesFromAbove(furthest, k, d) ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : furthest.get(from)!;
    const fromY = d === 0 ? 0 : fromX - from;
    while (x > fromX && y > fromY) {
      edits.push({ sign: ' ', line: a[x - 1]! });
      x -= 1;
      y -= 1;
    }
    if (d === 0) break;
    if (x === fromX) edits.push({ sign: '+', line: b[y - 1]! });
    else edits.push({ sign: '-', line: a[x - 1]! });
    x = fromX;
    y = fromY;
  }
  return edits.reverse();
}

function hunks(edits: Edit[]): string[] {
  const changed = edits.flatMap(({ sign }, at) => (sign === ' ' ? [] : [at]));
  const ranges: { from: number; to: number }[] = [];
  for (const at of changed) {
    const last = ranges.at(-1);
    const from = Math.max(0, at - CONTEXT);
    const to = Math.min(edits.length, at + CONTEXT + 1);
    if (last !== undefined && from <= last.to) last.to = to;
    else ranges.push({ from, to });
  }
  return ranges.flatMap(({ from, to }) => {
    const before = edits.slice(0, from);
    const shown = edits.slice(from, to);
    const at = (sign: '-' | '+') => before.filter((one) => one.sign !== sign).length + 1;
    const count = (sign: '-' | '+') => shown.filter((one) => one.sign !== sign).length;
    return [
      `@@ -${at('+')},${count('+')} +${at('-')},${count('-')} @@`,
      ...shown.map(({ sign, line }) => `${sign}${line}`),
    ];
  });
}
