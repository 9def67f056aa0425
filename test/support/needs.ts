/**
 * Tests that want a program which is not part of the house (Redis, a browser, …) skip themselves
 * where it is missing, and the run says so in one line at its end. POSTERN_TEST_REQUIRE_ALL=1 lets
 * them run into the missing program instead, so that a machine meant to test everything does.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, appendFileSync, constants, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';

/** Where the workers of one test run note what they skipped; set by the reporter below. */
const NOTES = 'POSTERN_TEST_SKIPS';

/** Whether to skip: `test.skipIf(needs('redis-server'))(…)`, asked once a test. */
export function needs(program: string): boolean {
  return isMissing(program, onPath(program) !== undefined);
}

/** The same for a module of the system's Python, by the name of its Debian package: `python3-httpx`. */
export function needsPython(library: `python3-${string}`): boolean {
  const module = library.slice('python3-'.length);
  return isMissing(library, spawnSync(PYTHON, ['-c', `import ${module}`]).status === 0);
}

/** Where Debian's Python is, whose modules are Debian's packages. */
export const PYTHON = '/usr/bin/python3';

function isMissing(program: string, found: boolean): boolean {
  if (found || process.env.POSTERN_TEST_REQUIRE_ALL === '1') return false;
  const notes = process.env[NOTES];
  if (notes !== undefined) appendFileSync(notes, `${program}\n`);
  return true;
}

/** The full path of a program, or undefined. */
export function onPath(program: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, program)).find(isExecutable);
}

/** `skipped because missing: redis-server (12 tests), chromium (3 tests)` */
export function summary(notes: string): string | undefined {
  const counts = new Map<string, number>();
  for (const program of notes.split('\n').filter((line) => line !== ''))
    counts.set(program, (counts.get(program) ?? 0) + 1);
  if (counts.size === 0) return undefined;
  const parts = [...counts].map(
    ([program, count]) => `${program} (${count} ${count === 1 ? 'test' : 'tests'})`,
  );
  return `skipped because missing: ${parts.join(', ')}`;
}

/** A vitest reporter that prints the summary after everything else. */
export class MissingPrograms {
  #notes = '';

  onInit(): void {
    this.#notes = join(mkdtempSync(join(tmpdir(), 'postern-skips-')), 'notes');
    appendFileSync(this.#notes, '');
    process.env[NOTES] = this.#notes;
  }

  onTestRunEnd(): void {
    const line = summary(readFileSync(this.#notes, 'utf8'));
    rmSync(dirname(this.#notes), { recursive: true, force: true });
    if (line !== undefined) process.stdout.write(`\n${line}\n`);
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
