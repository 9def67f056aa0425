/** What README.md and docs/api.md tell a reader to type, typed as it is printed into a fresh quickstart. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Block, blocks } from '../support/markdown.ts';
import { needs } from '../support/needs.ts';
import { type Newcomer, newcomer } from '../support/newcomer.ts';

const ROOT = join(import.meta.dirname, '../..');
const shell = (path: string) =>
  blocks(readFileSync(join(ROOT, path), 'utf8')).filter(({ language }) => language === 'sh');

const noCurl = needs('curl');
const noSwaks = needs('swaks');

let home: Newcomer;

/** Types a block behind what the reader was told to define before it; any line that fails ends it. */
async function type({ text }: Block, defined: string): Promise<string> {
  const { code, stdout, stderr } = await home.shell(`set -e\n${defined}\n${text}`);
  expect(code, `${text}\n${stdout}\n${stderr}`).toBe(0);
  return stdout;
}

const isDefinition = ({ text }: Block) => text.split('\n').every((line) => /^\w+\(\) \{/.test(line));

describe.skipIf(noCurl)('README.md', () => {
  const all = shell('README.md');
  const [start, words, ...lines] = all as [Block, Block, ...Block[]];
  const said: Record<string, string> = {};

  beforeAll(async () => {
    home = await newcomer();
    await home.start();
  });
  afterAll(() => home.remove());

  test('begins with the two commands, and then gives two words a meaning', () => {
    expect(start.text).toBe('npm ci\nnpm start');
    expect(words.text).toMatch(/^postern\(\) .*\nq\(\) .*$/);
    expect(isDefinition(words)).toBe(true);
    expect(lines.length).toBeGreaterThanOrEqual(9);
  });

  test('has no block that is not tried here', () => {
    expect([...new Set(lines.map(({ section }) => section))]).toEqual([
      'Try it',
      'Programs and agents',
      'Your own mailboxes and clients',
    ]);
  });

  test('can be followed from the first line to the last', async () => {
    for (const block of lines)
      if (!(noSwaks && block.text.startsWith('swaks'))) said[block.text] = await type(block, words.text);
  });

  test('and then everything has happened that it says', () => {
    const after = (part: string) => Object.entries(said).find(([text]) => text.includes(part))?.[1];
    const held = after('held approve');
    expect(held).toContain('Hello from curl');
    if (!noSwaks) expect(held).toContain('Hello from swaks');
    expect(held).toMatch(/approved [0-9A-Z]{26}; it is relayed\n/);
    expect(after('capture show')).toContain('Hello from REST');
    expect(after('held reject')).toMatch(/rejected [0-9A-Z]{26}; it is never sent\n/);
    expect(after('held reject')).toMatch(/available +mailer-daemon@/);
    expect(after('held reject')).toContain('Your message was not approved');
    expect(after('audit list')).toContain('message.rejected');
    expect(after('mailbox set-mode')).toContain('reports@postern.test is gated_send now, was monitored');
    expect(after('From outside')).toMatch(/subject +From outside/);
  });
});

describe.skipIf(noCurl)('docs/api.md', () => {
  const [words, ...lines] = shell('docs/api.md') as [Block, ...Block[]];

  beforeAll(async () => {
    home = await newcomer();
    await home.start();
  });
  afterAll(() => home.remove());

  test('can be followed from the first line to the last, and nothing is refused', async () => {
    expect(isDefinition(words)).toBe(true);
    const said: string[] = [];
    for (const block of lines) said.push(await type(block, words.text));
    const answers = said.flatMap((text) => text.trim().split('\n')).map((line) => JSON.parse(line));
    expect(answers.filter(({ error }) => error !== undefined)).toEqual([]);
    expect(answers[0]).toMatchObject({ status: 'pending_scan', pending_approval: true });
    expect(answers.find(({ pending }) => pending !== undefined).pending).toHaveLength(1);
    expect(answers.some(({ status }) => status === 'approved_and_sent')).toBe(true);
    const { captures } = answers.find(({ captures }) => captures !== undefined);
    expect(captures.filter(({ kind }: { kind: string }) => kind !== 'notice')).toHaveLength(1);
  });
});
