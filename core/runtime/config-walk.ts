/** Finding one's way in the schema: which keys exist, and which schema stands at a path. */
import { z } from 'zod';
import { KEYS, type KeyFacts } from './config-kinds.ts';
import { ConfigSchema } from './config-schema.ts';

export type Path = readonly PropertyKey[];

export interface Leaf {
  path: string[];
  schema: z.ZodType;
  facts: KeyFacts;
}

/** The schema inside its default, prefault, optional or transform. */
export function bare(schema: z.ZodType): z.ZodType {
  if (schema instanceof z.ZodPipe) return bare(schema.in as z.ZodType);
  const wrapped =
    schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault || schema instanceof z.ZodOptional;
  return wrapped ? bare(schema.unwrap() as z.ZodType) : schema;
}

/** Every key that stands on its own, in the order of the schema; lists and maps are one key each. */
export function leaves(schema: z.ZodType = ConfigSchema, path: string[] = []): Leaf[] {
  const facts = KEYS.get(schema);
  if (facts !== undefined) return [{ path, schema, facts }];
  const inner = bare(schema);
  if (!(inner instanceof z.ZodObject)) throw new Error(`${path.join('.')} is not described`);
  return Object.entries(inner.shape).flatMap(([name, child]) => leaves(child as z.ZodType, [...path, name]));
}

/** The schema a path from the outside leads to; `..[0]` enters a list, any name enters a map. */
export function schemaAt(path: Path, schema: z.ZodType = ConfigSchema): z.ZodType | undefined {
  const [step, ...rest] = path;
  if (step === undefined) return schema;
  const inner = bare(schema);
  if (inner instanceof z.ZodArray) return schemaAt(rest, inner.element as z.ZodType);
  if (inner instanceof z.ZodRecord) return schemaAt(rest, inner.valueType as z.ZodType);
  if (inner instanceof z.ZodDiscriminatedUnion) {
    const found = inner.options.map((option) => schemaAt(path, option as z.ZodType));
    return found.find((candidate) => candidate !== undefined);
  }
  if (!(inner instanceof z.ZodObject)) return undefined;
  const child = (inner.shape as Record<string, z.ZodType>)[String(step)];
  return child === undefined ? undefined : schemaAt(rest, child);
}

/** The keys that may stand at a path. */
export function keysAt(path: Path): string[] {
  const schema = schemaAt(path);
  const inner = schema === undefined ? undefined : bare(schema);
  if (inner instanceof z.ZodObject) return Object.keys(inner.shape);
  if (!(inner instanceof z.ZodDiscriminatedUnion)) return [];
  return inner.options.flatMap((option) => (option instanceof z.ZodObject ? Object.keys(option.shape) : []));
}

/** The facts of the key at a path, or of the nearest described key above it. */
export function factsAt(path: Path): KeyFacts | undefined {
  const schema = schemaAt(path);
  const facts = schema === undefined ? undefined : KEYS.get(schema);
  return facts ?? (path.length === 0 ? undefined : factsAt(path.slice(0, -1)));
}

/** `mailboxes[0].address`, as a person would write it. */
export function dotted(path: Path): string {
  return path
    .map((step, at) => (typeof step === 'number' ? `[${step}]` : `${at === 0 ? '' : '.'}${String(step)}`))
    .join('');
}

/** The variable of a key; undefined inside lists and maps, which only YAML can express. */
export function envName(path: Path): string | undefined {
  const leaf = leaves().find((candidate) => dotted(candidate.path) === dotted(path));
  return leaf === undefined || !fitsEnv(leaf.schema) ? undefined : nameOf(leaf.path);
}

/** True for a single value and for a list of texts. */
export function fitsEnv(schema: z.ZodType): boolean {
  const inner = bare(schema);
  if (inner instanceof z.ZodArray) return bare(inner.element as z.ZodType) instanceof z.ZodString;
  return !(inner instanceof z.ZodObject || inner instanceof z.ZodRecord);
}

export function nameOf(path: readonly string[]): string {
  return `POSTERN_${path.join('_').toUpperCase()}`;
}
