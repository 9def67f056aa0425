import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = resolve(import.meta.dirname, '../..');

/** What each room may stand on (ARCHITECTURE.md, "The house"). Everything else points the wrong way. */
const MAY_IMPORT: Record<string, string[]> = {
  'core/mail': ['core/mail'],
  'core/compose': ['core/compose', 'core/mail'],
  'core/store': ['core/store', 'core/mail'],
  'core/queue': ['core/queue', 'core/mail'],
  'core/runtime': ['core/runtime', 'core/queue', 'core/store', 'core/compose', 'core/mail'],
  gateway: ['gateway', 'core'],
  policy: ['policy', 'core'],
  delivery: ['delivery', 'core'],
  api: ['api', 'core', 'policy/review.ts'],
  // The recipe that starts the rooms is the one place that knows them all.
  cli: [
    'cli',
    'core',
    'policy/review.ts',
    'gateway/main.ts',
    'policy/main.ts',
    'delivery/main.ts',
    'api/main.ts',
    // The tools over standard input are those of the registry, told in the same words.
    'api/mcp/stdio.ts',
  ],
};

interface Import {
  from: string;
  to: string;
}

function imports(): Import[] {
  return Object.keys(MAY_IMPORT)
    .flatMap((folder) => sources(join(ROOT, folder)))
    .flatMap((file) =>
      [...readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g)].map(([, target]) => ({
        from: relative(ROOT, file),
        to: relative(ROOT, resolve(dirname(file), target!)),
      })),
    );
}

function sources(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !name.includes('node_modules'))
      .map((name) => join(folder, name));
  } catch {
    return [];
  }
}

function allowed({ from, to }: Import): boolean {
  const room = Object.keys(MAY_IMPORT).find((name) => from.startsWith(`${name}/`))!;
  return MAY_IMPORT[room]!.some((target) => to === target || to.startsWith(`${target}/`));
}

test('every import points down the house', () => {
  const all = imports();
  expect(all.length).toBeGreaterThan(50);
  expect(all.filter((one) => !allowed(one)).map(({ from, to }) => `${from} -> ${to}`)).toEqual([]);
});

test('every import names the file it means', () => {
  expect(imports().filter(({ to }) => !/\.(ts|json)$/.test(to))).toEqual([]);
});

test('SQL is written in core/store and nowhere else', () => {
  const strangers = [
    'gateway',
    'policy',
    'delivery',
    'api',
    'cli',
    'core/mail',
    'core/compose',
    'core/queue',
    'core/runtime',
  ]
    .flatMap((folder) => sources(join(ROOT, folder)))
    .filter((file) => !/core\/runtime\/(embedded-postgres|postgres-)/.test(file)) // they run the server, and know no mail
    .filter((file) =>
      /[`'"]\s*(select|insert into|update|delete from)\s+[a-z_*(]/i.test(readFileSync(file, 'utf8')),
    )
    .map((file) => relative(ROOT, file));
  expect(strangers).toEqual([]);
});
