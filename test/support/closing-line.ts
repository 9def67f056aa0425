/** The last line of a test run, in a form that any reader of logs knows: `12 passed, 0 failed, 1 skipped`. */
import type { TestModule } from 'vitest/node';

export class ClosingLine {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly unknown[]): void {
    process.stdout.write(`\n${closingLine(modules, errors.length)}\n`);
  }
}

/** A file that could not even be loaded, and an error outside of every test, count as failed. */
export function closingLine(modules: readonly TestModule[], errors: number): string {
  const counts = { passed: 0, failed: errors, skipped: 0 };
  for (const module of modules) {
    let failed = 0;
    for (const test of module.children.allTests()) {
      const { state } = test.result();
      if (state === 'failed') failed += 1;
      else if (state === 'passed') counts.passed += 1;
      else counts.skipped += 1;
    }
    counts.failed += failed === 0 && module.state() === 'failed' ? 1 : failed;
  }
  return `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`;
}
