/** What every command knows before it starts: the configuration, and how to reach the running Postern. */
import { type Config, ConfigError, loadConfig } from '../core/runtime/config.ts';
import { Failure, misuse } from './output.ts';
import { type Quickstart, quickstartFile, readQuickstart } from './quickstart-file.ts';

export interface Common {
  json?: boolean;
  config?: string;
  url?: string;
  key?: string;
}

/** Reads the configuration; its faults are told all at once, with exit code 2. */
export function configOf({ config }: Common): Config {
  try {
    return loadConfig({ file: config, env: process.env });
  } catch (err) {
    if (err instanceof ConfigError)
      throw new Failure(err.message, {
        exit: 2,
        code: 'config',
        hint: 'every setting is described by "postern config reference"',
      });
    throw err;
  }
}

/** Which of the keys of a quickstart a command uses when none is given. */
export type Role = 'admin' | 'agent' | 'reviewer';

export interface Reach {
  url: string;
  key: string;
}

/**
 * Where the API is and the key to show it: from the options, then POSTERN_URL and POSTERN_API_KEY, then the
 * file that a quickstart leaves in the data directory. A key of that file goes to the URL of that file and
 * nowhere else.
 */
export function reachOf(options: Common, role: Role): Reach {
  const url = options.url ?? nonEmpty(process.env.POSTERN_URL);
  const key = options.key ?? nonEmpty(process.env.POSTERN_API_KEY);
  if (url !== undefined && key !== undefined) return { url: baseOf(url), key };
  const config = configOf(options);
  const file = quickstartFile(config.data_dir);
  const quickstart = readQuickstart(file);
  const at = placeOf(options, config, quickstart);
  const own = quickstart !== undefined && baseOf(quickstart.api.url) === at;
  const found = key ?? (own ? keyFor(quickstart, role) : undefined);
  if (found === undefined)
    throw new Failure(
      `no key for ${at}: there is ${own ? 'none' : 'no quickstart of that address'} in ${file}`,
      {
        code: 'no_key',
        hint: 'give one by --key or POSTERN_API_KEY; make one by "postern key create" on the gateway\'s machine',
      },
    );
  return { url: at, key: found };
}

/** Where the API is, as every command finds it. */
export function placeOf({ url }: Common, config: Config, quickstart: Quickstart | undefined): string {
  return baseOf(url ?? nonEmpty(process.env.POSTERN_URL) ?? quickstart?.api.url ?? urlOf(config));
}

function keyFor({ api }: Quickstart, role: Role): string {
  return { admin: api.admin_key, agent: api.agent_key, reviewer: api.reviewer_key }[role];
}

/** The API's address as this machine reaches it. */
export function urlOf({ http }: Config): string {
  return `http://${http.host.includes(':') ? `[${reachable(http.host)}]` : reachable(http.host)}:${http.port}`;
}

/** A listener on every interface is reached on the loopback one. */
export function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

function baseOf(url: string): string {
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol))
    throw misuse(`${url} is no address of an API`, 'expected something like http://127.0.0.1:8080');
  return url.replace(/\/+$/, '');
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === '' ? undefined : text;
}
