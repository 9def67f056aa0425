/**
 * The configuration of one process: defaults, then one YAML file, then the environment.
 *
 *   default ◀── postern.yaml ◀── POSTERN_SECTION_KEY, POSTERN_SECTION_KEY_FILE
 *
 * It is read once, and every fault is reported at once.
 */
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseDocument, type YAMLParseError } from 'yaml';
import { z } from 'zod';
import { clean } from './clean.ts';
import { crossFaults, named } from './config-checks.ts';
import { type Env, readEnv } from './config-env.ts';
import { ConfigSchema } from './config-schema.ts';
import { bare, dotted, factsAt, keysAt, leaves, type Path, schemaAt } from './config-walk.ts';
import { suggest } from './suggest.ts';

export type Config = z.output<typeof ConfigSchema>;
export type Route = Config['delivery']['routes'][string];
export type TrustedNetwork = Config['trusted']['networks'][number];
export type MailboxConfig = Config['mailboxes'][number];

/** The file that is read when none is named, if it is there. */
export const DEFAULT_FILE = 'postern.yaml';

/** Every fault of a configuration, one a line, each naming the key and what is expected. */
export class ConfigError extends Error {
  readonly faults: readonly string[];
  constructor(faults: readonly string[]) {
    const count = faults.length === 1 ? 'a fault' : `${faults.length} faults`;
    super(`the configuration has ${count}:\n${faults.map((fault) => `  ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
    this.faults = faults;
  }
}

/**
 * Reads `file` (or `POSTERN_CONFIG`, or ./postern.yaml if there is one) and the variables in `env`.
 * Throws `ConfigError`. In what it returns every default is filled in, `data_dir` is absolute, addresses
 * are canonical, and `smarthost.*` has become the route `smarthost`.
 */
export function loadConfig({ file, env }: { file?: string | undefined; env: Env }): Config {
  const faults: string[] = [];
  const raw = readYaml(file ?? (env.POSTERN_CONFIG || undefined), faults);
  for (const { path, value } of readEnv(env, faults)) put(raw, path, value);
  const parsed = ConfigSchema.safeParse(raw);
  if (!parsed.success) faults.push(...parsed.error.issues.flatMap((issue) => faultsOf(issue, raw)));
  if (!parsed.success || faults.length > 0) throw new ConfigError(faults);
  const config = complete(parsed.data, raw, faults);
  faults.push(...crossFaults(config));
  if (faults.length > 0) throw new ConfigError(faults);
  return config;
}

/** A copy that may be shown: secrets are gone, the rest of a URL around a password stays. */
export function redacted(config: Config): Config {
  const copy = structuredClone(config) as Config;
  for (const { path, facts } of leaves()) {
    const value = at(copy, path);
    if (facts.secret === true && typeof value === 'string')
      put(copy as unknown as Tree, path, withoutSecret(value));
  }
  for (const route of Object.values(copy.delivery.routes))
    if (route.type === 'smarthost' && route.password !== undefined) route.password = REDACTED;
  return copy;
}

type Tree = Record<string, unknown>;
const REDACTED = '[redacted]';

function withoutSecret(text: string): string {
  if (text === 'postgres') return text;
  // read as whoever connects reads it: all up to the last @ is the login, also where the password holds one
  if (!URL.canParse(text)) return REDACTED;
  const { protocol, host, pathname } = new URL(text);
  return `${protocol}//${REDACTED}@${host}${pathname}`;
}

function readYaml(file: string | undefined, faults: string[]): Tree {
  const path = file ?? DEFAULT_FILE;
  if (file === undefined && !existsSync(path)) return {};
  try {
    const document = parseDocument(readFileSync(path, 'utf8'));
    faults.push(...document.errors.map((err) => `${path}: ${unreadable(err)}`));
    const tree: unknown = document.errors.length > 0 ? {} : (contentOf(document) ?? {});
    if (isTree(tree)) return withoutNulls(tree) as Tree;
    faults.push(`${path}: expected keys and values, as in "hostname: mail.example.com"`);
  } catch (err) {
    faults.push(`${path}: cannot be read (${err instanceof Error ? clean(err.message) : String(err)})`);
  }
  return {};
}

/** What is wrong and where. Not the message itself: it may repeat the text, and the text may be a password. */
function unreadable({ code, linePos: [at] = [{ line: 0, col: 0 }] }: YAMLParseError): string {
  const where = `line ${at.line}, column ${at.col}`;
  if (code === 'DUPLICATE_KEY') return `${where}: keys must be unique`;
  const what = code.toLowerCase().replaceAll('_', ' ');
  return `${where}: is not YAML (${what}); a value with special characters needs quotes`;
}

function contentOf(document: ReturnType<typeof parseDocument>): unknown {
  try {
    return document.toJS();
  } catch {
    throw new Error('it refers to an anchor that is not there; a value that begins with * needs quotes');
  }
}

/** A key with nothing behind it counts as not set. */
function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (!isTree(value)) return value;
  const kept = Object.entries(value).filter(([, child]) => child !== null);
  return Object.fromEntries(kept.map(([name, child]) => [name, withoutNulls(child)]));
}

function complete(config: Config, raw: Tree, faults: string[]): Config {
  const { host, ...rest } = config.smarthost;
  const routes: Config['delivery']['routes'] = { capture: { type: 'capture' }, ...config.delivery.routes };
  let { default_route } = config.delivery;
  if (host !== undefined) {
    if (routes.smarthost !== undefined)
      faults.push(
        `${named(['smarthost', 'host'])}: delivery.routes.smarthost is set as well; keep one of them`,
      );
    routes.smarthost = { type: 'smarthost', host, ...rest };
    if (at(raw, ['delivery', 'default_route']) === undefined) default_route = 'smarthost';
  } else if (isTree(raw.smarthost) && Object.keys(raw.smarthost).length > 0) {
    faults.push(`${named(['smarthost', 'host'])}: is missing, but other keys of smarthost are set`);
  }
  return {
    ...config,
    data_dir: resolve(config.data_dir),
    delivery: { ...config.delivery, default_route, routes },
  };
}

function faultsOf(issue: z.core.$ZodIssue, raw: Tree): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((name) => {
      const meant = suggest(name, keysAt(issue.path));
      const where = dotted([...issue.path, name]);
      return `${where}: no such setting${meant === undefined ? '' : `; did you mean ${dotted([...issue.path, meant])}?`}`;
    });
  const facts = factsAt(issue.path);
  const keys = keysAt(issue.path);
  const expects =
    facts?.expects ?? (keys.length > 0 ? `a section with the keys ${keys.join(', ')}` : 'a value');
  const value = at(raw, issue.path);
  if (value === undefined) return [`${named(issue.path)}: is missing; expected ${expects}`];
  // a whole section may hold a secret somewhere, and so may what stands in the place of one
  const single = facts !== undefined && facts.secret !== true && holdsNothing(issue.path);
  const shown = single && typeof value !== 'object' && !mayHoldLogin(value);
  const got = !shown ? '' : `, got ${clean(JSON.stringify(value), 80)}`;
  return [`${named(issue.path)}: expected ${expects}${got}`];
}

/** Whether what belongs there is a single value. */
function holdsNothing(path: Path): boolean {
  const schema = schemaAt(path);
  const inner = schema === undefined ? undefined : bare(schema);
  return !(
    inner instanceof z.ZodObject ||
    inner instanceof z.ZodRecord ||
    inner instanceof z.ZodArray ||
    inner instanceof z.ZodDiscriminatedUnion
  );
}

/** `user:password@host`, as people paste it into the wrong key. */
function mayHoldLogin(value: unknown): boolean {
  return typeof value === 'string' && /:[^@]+@/.test(value);
}

function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function at(tree: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (node, step) => (typeof node === 'object' && node !== null ? (node as Tree)[step as string] : undefined),
    tree,
  );
}

function put(tree: Tree, path: readonly string[], value: unknown): void {
  let node = tree;
  for (const step of path.slice(0, -1)) {
    const child = Object.hasOwn(node, step) ? node[step] : {};
    // a section that is no section: the schema says so, the variable cannot mend it
    if (!isTree(child)) return;
    node[step] = child;
    node = child;
  }
  node[path.at(-1)!] = value;
}
