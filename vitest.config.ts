import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { ClosingLine } from './test/support/closing-line.ts';
import { MissingPrograms } from './test/support/needs.ts';

// One project per kind of test (see ARCHITECTURE.md, "Tests"), so that each can be run alone:
// `npx vitest run --project flows`.
const KINDS = ['unit', 'dialogues', 'flows', 'chaos', 'fuzz', 'conformance', 'browser'] as const;

export default defineConfig({
  test: {
    projects: KINDS.map((name) => ({
      test: {
        name,
        include: [`test/${name}/**/*.test.ts`],
        testTimeout: name === 'unit' ? 10_000 : 60_000,
        hookTimeout: 60_000,
        // One PostgreSQL for all of them; unit tests need nothing running.
        globalSetup: name === 'unit' ? [] : ['test/support/global-setup.ts'],
      },
    })),
    passWithNoTests: true,
    // Most of a test is waiting for servers: with one worker for two cores half of the time passed unused.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    reporters: ['default', new MissingPrograms(), new ClosingLine()],
  },
});
