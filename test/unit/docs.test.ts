import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import type { Command } from 'commander';
import { describe, expect, test } from 'vitest';
import { routesOf } from '../../api/http/routes.ts';
import { OPERATIONS } from '../../api/registry.ts';
import { build } from '../../cli/main.ts';
import { loadConfig } from '../../core/runtime/config.ts';
import { reference } from '../../core/runtime/config-reference.ts';
import { fitsEnv, leaves, nameOf } from '../../core/runtime/config-walk.ts';
import { anchors, blocks, code, commands, links } from '../support/markdown.ts';

const ROOT = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8');
const DOCS = [
  'README.md',
  'ARCHITECTURE.md',
  'CHANGELOG.md',
  ...readdirSync(join(ROOT, 'docs')).map((name) => `docs/${name}`),
];

test('docs/configuration.md is what "postern config reference" writes', () => {
  expect(read('docs/configuration.md')).toBe(reference());
});

describe.each(DOCS)('%s', (path) => {
  const markdown = read(path);

  test('names no command and no option that postern does not have', async () => {
    const program = await build(undefined, false);
    expect(commands(markdown).flatMap((words) => unknownIn(program, words))).toEqual([]);
  });

  test('names no variable that nothing reads', () => {
    const settings = leaves()
      .filter(({ schema }) => fitsEnv(schema))
      .map(({ path }) => nameOf(path));
    const known = [
      ...settings,
      'POSTERN_CONFIG',
      'POSTERN_URL',
      'POSTERN_API_KEY',
      'POSTERN_MAILBOX_ID',
      'POSTERN_SEND_PASSWORD',
      'POSTERN_TEST_REQUIRE_ALL',
    ];
    const named = [...markdown.matchAll(/\bPOSTERN_[A-Z_]*[A-Z]/g)].map(([name]) => name);
    expect(
      named.filter((name) => ![name, name.replace(/_FILE$/, '')].some((one) => known.includes(one))),
    ).toEqual([]);
  });

  test('shows settings that are taken as they stand', () => {
    for (const { text } of blocks(markdown).filter(({ language }) => language === 'yaml')) {
      const folder = mkdtempSync(join(tmpdir(), 'postern-docs-'));
      writeFileSync(join(folder, 'postern.yaml'), text);
      expect(() => loadConfig({ file: join(folder, 'postern.yaml'), env: {} }), text).not.toThrow();
      rmSync(folder, { recursive: true });
    }
  });

  test('links to places that exist', () => {
    for (const { file, anchor } of links(markdown)) {
      const target = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), file));
      expect(existsSync(join(ROOT, target)), `${path} -> ${file}`).toBe(true);
      if (anchor !== '') expect(anchors(read(target)), `${path} -> ${file}`).toContain(anchor);
    }
  });
});

test('docs/api.md names paths that there are, and leaves none out', () => {
  const markdown = read('docs/api.md');
  const own = (path: string) => path.replaceAll(/:\w+/g, ':x');
  const named = [...markdown.matchAll(/\b(GET|POST|PATCH|DELETE)\s+(\/v1\/[\w/:-]+)/g)].map(
    ([, method, path]) => `${method} ${own(path!)}`,
  );
  const there = routesOf(OPERATIONS).map(({ method, path }) => `${method} ${own(path)}`);
  expect(named.filter((one) => !there.includes(one))).toEqual([]);
  const mentioned = own(markdown.replaceAll(/\$\(q mailbox\.\w+\)|\$id/g, ':x'));
  expect(OPERATIONS.map(({ path }) => own(path)).filter((path) => !mentioned.includes(path))).toEqual([]);
});

test('ARCHITECTURE.md names files and folders that there are', () => {
  const named = code(read('ARCHITECTURE.md')).filter((text) =>
    /^(core|gateway|policy|delivery|api|cli|test)\/[\w./-]+$/.test(text),
  );
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
});

/** What of a typed line postern would not understand. */
function unknownIn(program: Command, words: string[]): string[] {
  const rest = [...words];
  let at = program;
  while (rest[0] !== undefined && at.commands.length > 0 && !rest[0].startsWith('-')) {
    const name = rest[0];
    const next = at.commands.find((one) => one.name() === name);
    if (next === undefined) return [`postern ${words.join(' ')}`];
    at = next;
    rest.shift();
  }
  const options = rest.filter((word) => word.startsWith('--') && word !== '--help');
  return options
    .filter((word) => !at.options.some(({ long }) => long === word.split('=')[0]))
    .map((word) => `postern ${words.join(' ')}: ${word}`);
}
