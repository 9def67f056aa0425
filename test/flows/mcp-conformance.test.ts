import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApi, type TestApi } from '../support/api.ts';
import { type Front, startFront } from '../support/mcp-front.ts';

/**
 * The official suite against the running system. It brings no key, so a front adds one; all else passes as it came.
 * What does not apply to a mail gateway is in mcp-conformance.yaml, each with its reason.
 */
const EXPECTED = join(import.meta.dirname, 'mcp-conformance.yaml');
const SUITE = createRequire(import.meta.url).resolve('@modelcontextprotocol/conformance/dist/index.js');

let api: TestApi;
let front: Front;

beforeAll(async () => {
  api = await startTestApi();
  front = await startFront(api.url, api.keys.admin);
});

afterAll(async () => {
  await front.close();
  await api.close();
});

async function run(...which: string[]): Promise<{ code: number | null; output: string }> {
  const args = ['server', '--url', `${front.url}/mcp`, '--expected-failures', EXPECTED, ...which];
  const child = spawn(process.execPath, [SUITE, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err, code] = await Promise.all([
    text(child.stdout),
    text(child.stderr),
    new Promise<number | null>((ended) => child.once('exit', ended)),
  ]);
  const plain = `${out}${err}`.replace(/\x1b\[\d+m/g, '');
  return { code, output: plain.slice(plain.indexOf('=== SUMMARY')) };
}

test.each([
  ['the active scenarios', '--suite', 'active'],
  ['what revision 2025-11-25 requires', '--requirements', '2025-11-25'],
  ['what revision 2026-07-28 requires', '--requirements', '2026-07-28'],
])(
  'K-01: %s: every failure is expected, and every expected failure fails',
  { timeout: 120_000 },
  async (_, ...which) => {
    const { code, output } = await run(...which);
    expect(output).toContain('Baseline check passed');
    expect(output).toMatch(/✓ tools-list: \d/);
    expect({ code, output }).toMatchObject({ code: 0 });
  },
);

test('every expected failure has its reason beside it', () => {
  const entries = readFileSync(EXPECTED, 'utf8').match(/^ +- .*$/gm)!;
  expect(entries.length).toBeGreaterThan(30);
  expect(entries.filter((entry) => !/ # \S.{5,}$/.test(entry))).toEqual([]);
});
