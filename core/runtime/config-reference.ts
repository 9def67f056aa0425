/** The reference of all settings, written from the schema. */
import { z } from 'zod';
import { KEYS } from './config-kinds.ts';
import { ConfigSchema } from './config-schema.ts';
import { bare, dotted, fitsEnv, type Leaf, leaves, nameOf } from './config-walk.ts';

const PREFACE = `# Settings

A setting comes from its default, then from one YAML file, then from the environment; the last one wins. The file is
\`postern.yaml\` in the working folder, or what \`POSTERN_CONFIG\` or \`--config\` names. Keys are nested by section:

\`\`\`yaml
hostname: mail.example.com
submission:
  host: 0.0.0.0
  port: 587
\`\`\`

The variable of a key is its path in upper case behind \`POSTERN_\`. With \`_FILE\` behind it, as in
\`POSTERN_DATABASE_URL_FILE\`, it names a file that holds the value, as secrets are handed to containers. A list of words
may be written with commas; what is marked "YAML only" stands in the file alone. A variable that is empty counts as not
set.

An unknown key, an unknown variable behind \`POSTERN_\` and a value that does not fit are errors, all told at once:
\`postern config check\`. What is in force is shown by \`postern config print --redacted\`.

This page is written from the schema by \`postern config reference\`.`;

/** Markdown with every key: its path in YAML, its variable, what it takes, its default, what it is for. */
export function reference(): string {
  const all = leaves();
  const sections = [...new Set(all.map(({ path }) => (path.length === 1 ? '' : path[0]!)))];
  const parts = sections.map((section) => {
    const own = all.filter(({ path }) => (path.length === 1 ? '' : path[0]) === section);
    return [`## ${section === '' ? 'General' : section}`, table(own), ...own.flatMap(insides)].join('\n\n');
  });
  return `${[PREFACE, ...parts].join('\n\n')}\n`;
}

function table(all: Leaf[]): string {
  const rows = all.map(({ path, schema, facts }) => {
    const name =
      path.every((step) => /^\w+$/.test(step)) && fitsEnv(schema) ? `\`${nameOf(path)}\`` : 'YAML only';
    const secret = facts.secret === true ? ' Secret.' : '';
    return [
      `\`${dotted(path)}\``,
      name,
      facts.expects,
      fallback(schema, facts.fallback),
      facts.description + secret,
    ];
  });
  return [['Key', 'Variable', 'Value', 'Default', 'What it is for'], Array(5).fill('---'), ...rows]
    .map((cells) => `| ${cells.map((cell) => String(cell).replaceAll('|', '\\|')).join(' | ')} |`)
    .join('\n');
}

/** Lists and maps of sections get a table of their own. */
function insides({ path, schema }: Leaf): string[] {
  const inner = bare(schema);
  if (inner instanceof z.ZodArray && bare(inner.element as z.ZodType) instanceof z.ZodObject)
    return [`Each of \`${dotted(path)}\`:`, table(keysOf(inner.element as z.ZodType, `${dotted(path)}[]`))];
  if (!(inner instanceof z.ZodRecord)) return [];
  const options = (bare(inner.valueType as z.ZodType) as z.ZodDiscriminatedUnion).options;
  return options.flatMap((option) => {
    const keys = keysOf(option as z.ZodType, `${dotted(path)}.<name>`);
    const type = keys[0] && bare(keys[0].schema);
    const word = type instanceof z.ZodLiteral ? String([...type.values][0]) : '';
    return [`A route with \`type: ${word}\`:`, table(keys)];
  });
}

function keysOf(schema: z.ZodType, prefix: string): Leaf[] {
  const inner = bare(schema);
  if (!(inner instanceof z.ZodObject)) return [];
  return Object.entries(inner.shape).map(([name, child]) => ({
    path: [prefix, name],
    schema: child as z.ZodType,
    facts: KEYS.get(child as z.ZodType) ?? { description: '', expects: '' },
  }));
}

function fallback(schema: z.ZodType, words: string | undefined): string {
  if (words !== undefined) return words;
  if (schema instanceof z.ZodDefault)
    return `\`${JSON.stringify(schema.def.defaultValue).replaceAll('"', '')}\``;
  return schema instanceof z.ZodOptional ? '–' : 'required';
}

/** The whole schema must be described; asked by a test. */
export function undescribed(): string[] {
  return leaves(ConfigSchema)
    .filter(({ facts }) => facts.description === '' || facts.expects === '')
    .map(({ path }) => dotted(path));
}
