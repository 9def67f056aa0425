import { defineConfig } from 'vitest/config';

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
      },
    })),
    passWithNoTests: true,
  },
});
