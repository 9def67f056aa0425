/**
 * Settings from the environment. `POSTERN_SUBMISSION_PORT=587` is `submission.port`, and any variable
 * with `_FILE` behind it names a file that holds the value, as secrets are handed to containers.
 * A variable that is set but empty counts as not set: compose files pass those on.
 */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { bare, dotted, fitsEnv, type Leaf, leaves, nameOf } from './config-walk.ts';
import { suggest } from './suggest.ts';

export type Env = Readonly<Record<string, string | undefined>>;

export interface EnvValue {
  path: string[];
  value: unknown;
}

/** Not settings of the gateway: the place of the YAML file, and what the command line client uses. */
const OTHERS = [
  'POSTERN_CONFIG',
  'POSTERN_URL',
  'POSTERN_API_KEY',
  'POSTERN_MAILBOX_ID',
  'POSTERN_SEND_PASSWORD',
];

export function readEnv(env: Env, faults: string[]): EnvValue[] {
  const known = new Map<string, Leaf>(
    leaves()
      .filter(({ schema }) => fitsEnv(schema))
      .map((leaf) => [nameOf(leaf.path), leaf]),
  );
  const values: EnvValue[] = [];
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('POSTERN_') || name.startsWith('POSTERN_TEST_') || OTHERS.includes(name)) continue;
    const direct = known.get(name);
    const byFile = direct === undefined && name.endsWith('_FILE') ? known.get(name.slice(0, -5)) : undefined;
    const leaf = direct ?? byFile;
    if (leaf === undefined) {
      faults.push(unknown(name, known.keys()));
      continue;
    }
    if (text === undefined || text === '') continue;
    if (byFile !== undefined && env[name.slice(0, -5)]) {
      faults.push(`${dotted(leaf.path)}: ${name.slice(0, -5)} and ${name} are both set; keep one of them`);
      continue;
    }
    const value = byFile === undefined ? text : contentOf(name, text, leaf, faults);
    if (value !== undefined) values.push({ path: leaf.path, value: typed(leaf.schema, value) });
  }
  return values;
}

function unknown(name: string, known: Iterable<string>): string {
  const meant = suggest(name, known);
  return `${name}: no such setting${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

function contentOf(name: string, file: string, leaf: Leaf, faults: string[]): string | undefined {
  try {
    return readFileSync(file, 'utf8').replace(/\r?\n$/, '');
  } catch (err) {
    const reason = (err as NodeJS.ErrnoException).code ?? String(err);
    faults.push(
      `${dotted(leaf.path)} (${name}): expected the path of a readable file, got ${file} (${reason})`,
    );
    return undefined;
  }
}

/** Text as the kind of value its key wants; what does not convert is left for the schema to refuse. */
function typed(schema: z.ZodType, text: string): unknown {
  const inner = bare(schema);
  if (inner instanceof z.ZodNumber) return /^-?\d+(\.\d+)?$/.test(text.trim()) ? Number(text) : text;
  if (inner instanceof z.ZodBoolean) {
    const word = text.trim().toLowerCase();
    return word === 'true' || word === '1' ? true : word === 'false' || word === '0' ? false : text;
  }
  if (inner instanceof z.ZodArray)
    return text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== '');
  return text;
}
