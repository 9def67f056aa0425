/** The reference of all settings, written from the schema. */
import { z } from 'zod';
import { KEYS } from './config-kinds.ts';
import { ConfigSchema } from './config-schema.ts';
import { bare, dotted, fitsEnv, type Leaf, leaves, nameOf } from './config-walk.ts';

/** Markdown with every key: its path in YAML, its variable, what it takes, its default, what it is for. */
export function reference(): string {
  const all = leaves();
  const sections = [...new Set(all.map(({ path }) => (path.length === 1 ? '' : path[0]!)))];
  return sections
    .map((section) => {
      const own = all.filter(({ path }) => (path.length === 1 ? '' : path[0]) === section);
      return [`## ${section === '' ? 'General' : section}`, table(own), ...own.flatMap(insides)].join('\n\n');
    })
    .join('\n\n')
    .concat('\n');
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
