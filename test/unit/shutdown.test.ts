import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { endOnSignal } from '../../core/runtime/shutdown.ts';

const log = { info() {}, error() {}, fatal() {} };
let ending: ReturnType<typeof endOnSignal> | undefined;
afterEach(() => ending?.ignore());

function listen(close: (() => Promise<unknown>)[], deadlineMs = 1000): number[] {
  const codes: number[] = [];
  ending = endOnSignal({ log, close, deadlineMs, samePressMs: 20, exit: (code) => void codes.push(code) });
  return codes;
}

test('SIGTERM closes each in turn, and one that fails does not stop the others', async () => {
  const closed: string[] = [];
  const codes = listen([
    async () => {
      await sleep(20);
      closed.push('gateway');
    },
    async () => {
      throw new Error('broken');
    },
    async () => closed.push('database'),
  ]);
  process.emit('SIGTERM', 'SIGTERM');
  expect(codes).toEqual([]);
  await sleep(60);
  expect(closed).toEqual(['gateway', 'database']);
  expect(codes).toEqual([0]);
});

test('a second signal leaves at once', async () => {
  const codes = listen([() => sleep(80)]);
  process.emit('SIGINT', 'SIGINT');
  await sleep(30);
  process.emit('SIGINT', 'SIGINT');
  expect(codes).toEqual([130]);
  await sleep(100);
});

test('one press that arrives twice, by way of npm, is no impatience', async () => {
  const codes = listen([() => sleep(30)]);
  process.emit('SIGINT', 'SIGINT');
  process.emit('SIGINT', 'SIGINT');
  expect(codes).toEqual([]);
  await sleep(60);
  expect(codes).toEqual([0]);
});

test('what does not close in time is left', async () => {
  const codes = listen([() => sleep(100)], 20);
  process.emit('SIGTERM', 'SIGTERM');
  await sleep(60);
  expect(codes).toEqual([1]);
  await sleep(80);
});

test('an error nobody foresaw closes everything and says so in the exit code', async () => {
  const closed: string[] = [];
  const codes = listen([async () => closed.push('gateway')]);
  await ending!.end('crash', 1);
  expect([closed, codes]).toEqual([['gateway'], [1]]);
});
