/** What `postern doctor` looks at, one question each. None of them changes anything. */
import { X509Certificate } from 'node:crypto';
import { accessSync, constants, existsSync, readFileSync, statfsSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { clean } from '../core/runtime/clean.ts';
import type { Config } from '../core/runtime/config.ts';
import { nameOf } from '../core/runtime/config-walk.ts';
import { readAccount } from '../core/store/account.ts';
import { type Db, openDatabase } from '../core/store/database.ts';
import { diagnose } from '../core/store/diagnosis.ts';
import { pendingMigrations } from '../core/store/migrate.ts';
import type { Quickstart } from './quickstart-file.ts';
import { reachable } from './settings.ts';
import { databaseUrl } from './store.ts';

export interface Finding {
  check: string;
  /** `off`: there is nothing to look at just now, and nothing wrong with that. */
  state: 'good' | 'warning' | 'bad' | 'off';
  says: string;
}

const PATIENCE_MS = 5_000;
const MONTH_MS = 30 * 86_400_000;
const CLOCK_MS = 2_000;

const good = (check: string, says: string): Finding => ({ check, state: 'good', says });
const warning = (check: string, says: string): Finding => ({ check, state: 'warning', says });
const bad = (check: string, says: string): Finding => ({ check, state: 'bad', says });
const off = (check: string, says: string): Finding => ({ check, state: 'off', says });

/** Asks the process at this address whether it is ready. */
export async function checkRunning(url: string): Promise<Finding> {
  try {
    const response = await fetch(`${url}/healthz/ready`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.ok) return good('running', `ready at ${url}`);
    return bad('running', `not ready at ${url}: ${clean(await response.text(), 300)}`);
  } catch {
    return bad('running', `nothing answers at ${url}`);
  }
}

export async function checkDatabase(config: Config): Promise<Finding[]> {
  let url: string;
  try {
    url = databaseUrl(config);
  } catch (err) {
    return [bad('database', messageOf(err))];
  }
  const database = openDatabase({ url, poolSize: 1 });
  try {
    const asked = Date.now();
    const facts = await diagnose(database.pool);
    const drift = Math.abs(facts.now.getTime() - (asked + Date.now()) / 2);
    const pending = await pendingMigrations(url);
    const findings = [databaseFinding(facts, pending), clockFinding(drift)];
    return pending.length > 0 ? findings : [...findings, await overseerFinding(database.pool)];
  } catch (err) {
    return [bad('database', `cannot be used: ${messageOf(err)}`)];
  } finally {
    await database.close();
  }
}

function databaseFinding(facts: Awaited<ReturnType<typeof diagnose>>, pending: string[]): Finding {
  const version = `PostgreSQL ${Math.floor(facts.version / 10_000)}`;
  if (facts.version < 140_000) return bad('database', `${version} is too old: 14 is the oldest that works`);
  if (facts.readOnly) return bad('database', `${version} takes no writes`);
  if (pending.length > 0) return bad('database', `not prepared for this version: run "postern migrate"`);
  if (facts.fsync !== 'on') return bad('database', 'fsync is off: accepted mail can be lost in a power cut');
  return good('database', `${version}, schema up to date`);
}

/** Who gets codes and notices: without an address some calls are refused and nobody is told of held mail. */
async function overseerFinding(db: Db): Promise<Finding> {
  const { oversightAddress } = await readAccount(db);
  if (oversightAddress !== null) return good('overseer', `codes and notices go to ${oversightAddress}`);
  return warning('overseer', 'nobody gets codes and notices: set account.oversight_address');
}

function clockFinding(drift: number): Finding {
  if (drift < CLOCK_MS) return good('clock', 'agrees with the database');
  return warning('clock', `${(drift / 1000).toFixed(1)} s away from that of the database`);
}

export async function checkQueue({ queue }: Config): Promise<Finding> {
  if (queue.url === undefined || queue.url === 'postgres') return good('queue', 'in PostgreSQL');
  const redis = new Redis(queue.url, {
    lazyConnect: true,
    connectTimeout: PATIENCE_MS,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
  });
  redis.on('error', () => {});
  try {
    await redis.connect();
    const policy = /maxmemory_policy:(\S+)/.exec(await redis.info('memory'))?.[1];
    if (policy !== undefined && policy !== 'noeviction')
      return bad('queue', `Redis has maxmemory-policy ${clean(policy, 40)}: set it to noeviction`);
    return good('queue', 'Redis answers');
  } catch (err) {
    return bad('queue', `Redis cannot be used: ${messageOf(err)}`);
  } finally {
    redis.disconnect();
  }
}

/** Each door: whether something speaks SMTP where a quickstart has put it, or the configuration does. */
export async function checkDoors(
  { submission, mx, trusted }: Config,
  quickstart: Quickstart | undefined,
): Promise<Finding[]> {
  const { submission: at, mx: mxAt } = quickstart ?? { submission, mx };
  const doors: [boolean, string, string, number, string[]][] = [
    [submission.enabled, 'submission', at.host, at.port, ['submission', 'port']],
    [mx.enabled, 'mx', mxAt.host, mxAt.port, ['mx', 'port']],
    [trusted.enabled, 'trusted', trusted.host, trusted.port, ['trusted', 'port']],
  ];
  return Promise.all(
    doors
      .filter(([enabled]) => enabled)
      .map(async ([, name, host, port, path]) => {
        const greeting = await greetingOf(reachable(host), port);
        const where = `port ${port} (${nameOf(path)})`;
        if (greeting === undefined) return off(name, `nothing listens on ${where}`);
        return greeting.startsWith('220 ')
          ? good(name, `answers on ${where}`)
          : bad(name, `${where} belongs to another program`);
      }),
  );
}

function greetingOf(host: string, port: number): Promise<string | undefined> {
  return new Promise((done) => {
    const socket = connect({ host, port, timeout: PATIENCE_MS });
    const end = (greeting: string | undefined) => {
      socket.destroy();
      done(greeting);
    };
    let connected = false;
    socket.once('connect', () => {
      connected = true;
    });
    socket.once('data', (chunk) => end(chunk.toString('latin1')));
    socket.once('timeout', () => end(connected ? '' : undefined));
    socket.once('error', () => end(connected ? '' : undefined));
    socket.once('close', () => end(connected ? '' : undefined));
  });
}

export function checkCertificate(config: Config): Finding {
  const file = config.tls.certificate_file ?? join(config.data_dir, 'tls', 'certificate.pem');
  if (config.tls.certificate_file === undefined && !existsSync(file))
    return off('certificate', 'a self-signed one is made at first start');
  try {
    const { validTo } = new X509Certificate(readFileSync(file));
    const left = new Date(validTo).getTime() - Date.now();
    const day = new Date(validTo).toISOString().slice(0, 10);
    if (left <= 0) return bad('certificate', `${file} ran out on ${day}`);
    return left < MONTH_MS
      ? warning('certificate', `${file} runs out on ${day}: replace it, then send SIGHUP`)
      : good('certificate', `good until ${day}`);
  } catch (err) {
    return bad('certificate', `${file} cannot be read: ${messageOf(err)}`);
  }
}

export function checkDisk({ data_dir, limits }: Config): Finding {
  if (!existsSync(data_dir)) return off('disk', `${data_dir} is made at first start`);
  try {
    accessSync(data_dir, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return bad('disk', `${data_dir} cannot be written by this user`);
  }
  const { bavail, bsize } = statfsSync(data_dir);
  const free = bavail * bsize;
  const shown = `${Math.floor(free / 2 ** 20)} MiB free in ${data_dir}`;
  return free < limits.free_disk_bytes
    ? bad('disk', `${shown}: below limits.free_disk_bytes new mail is told to come back later`)
    : good('disk', shown);
}

function messageOf(err: unknown): string {
  const cause = err instanceof AggregateError && err.errors.length > 0 ? err.errors[0] : err;
  return clean(cause instanceof Error ? cause.message : String(cause), 200);
}
