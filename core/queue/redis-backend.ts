/**
 * Bells on Redis.
 *
 *   bell      rings: fails fast (no offline queue), so an outage is felt by the bundler, which is bounded
 *   room      what workers ask and answer; patient, since a worker has nothing better to do
 *   (one more a worker, made by BullMQ from `room`, blocks in BZPOPMIN)
 */
import { Queue, Worker } from 'bullmq';
import { Redis, type RedisOptions } from 'ioredis';
import {
  type Backend,
  JOB_OPTIONS,
  QueueUnusable,
  STREAMS,
  sleep,
  WORKER_OPTIONS,
  within,
} from './backend.ts';

const SETTING = 'queue.url (POSTERN_QUEUE_URL)';
const LOOK_UP_SECONDS = 10;

const COMMON: RedisOptions = {
  lazyConnect: true,
  connectTimeout: 5_000,
  keepAlive: 10_000,
  noDelay: true,
  retryStrategy: (times) => Math.min(times * 100, 2_000),
};
const BELL: RedisOptions = {
  ...COMMON,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 0,
  commandTimeout: 2_000,
};
// With the offline queue off, a worker that has just finished a job would spin while Redis is away.
const ROOM: RedisOptions = {
  ...COMMON,
  maxRetriesPerRequest: null,
  commandTimeout: (LOOK_UP_SECONDS + 5) * 1_000,
};

/**
 * A connection that hangs up when told to, with its copies. ioredis 6 told to disconnect between
 * two attempts to reconnect neither ends nor answers what waits in its queue, whose timers then
 * keep the process alive; an attempt that is broken off at once does both.
 */
class Line extends Redis {
  readonly #url: string;
  readonly #copies: Line[] = [];

  constructor(url: string, options: RedisOptions) {
    super(url, { ...options, replyMapping: 'legacy' });
    this.#url = url;
  }

  // BullMQ asks for one copy a worker, to block on.
  override duplicate(options?: Partial<RedisOptions>): never {
    const copy = new Line(this.#url, { ...this.options, ...options });
    this.#copies.push(copy);
    return copy as never; // the declared type follows the reply mapping, which we never change
  }

  override disconnect(reconnect = false): void {
    const between = !reconnect && this.status === 'reconnecting';
    super.disconnect(reconnect);
    if (!between) return;
    this.connect().catch(() => {});
    super.disconnect();
  }

  hangUp(): void {
    for (const copy of this.#copies) copy.disconnect();
    this.disconnect();
  }
}

export interface RedisBackendOptions {
  url: string;
  prefix: string;
  onError(error: Error): void;
  /** How long a server that does not answer yet is waited for. */
  startWithinMs: number;
}

export async function openRedisBackend({
  url,
  prefix,
  onError,
  startWithinMs,
}: RedisBackendOptions): Promise<Backend> {
  await waitForUsableRedis(url, startWithinMs);
  const bell = new Line(url, { ...BELL, connectionName: `${prefix}:bell` });
  const room = new Line(url, { ...ROOM, connectionName: `${prefix}:room` });
  for (const redis of [bell, room]) redis.on('error', onError);
  // Heard before the commands that fail with it, whose own words are about retries.
  bell.on('close', () => onError(new Error('the connection to Redis was lost')));
  await bell.connect();
  const shared = { prefix, skipVersionCheck: true };
  return {
    kind: 'redis',
    queue: (name) =>
      new Queue(name, {
        ...shared,
        connection: bell,
        streams: STREAMS,
        defaultJobOptions: JOB_OPTIONS,
      }).on('error', onError),
    worker: (name, process) => {
      const options = { ...WORKER_OPTIONS, ...shared, connection: room, drainDelay: LOOK_UP_SECONDS };
      return new Worker(name, process, options).on('error', onError);
    },
    ping: async () => {
      await bell.ping();
    },
    onBack: (listener) => {
      bell.on('ready', listener);
    },
    close: async () => {
      bell.hangUp();
      room.hangUp();
    },
  };
}

/** Returns once the server answers and may be used; throws QueueUnusable with the reason otherwise. */
async function waitForUsableRedis(url: string, startWithinMs: number): Promise<void> {
  const deadline = Date.now() + startWithinMs;
  for (;;) {
    try {
      judge(await serverInfo(url));
      return;
    } catch (error) {
      if (error instanceof QueueUnusable) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      if (/NOAUTH|WRONGPASS|NOPERM/.test(reason))
        throw new QueueUnusable(`${SETTING}: ${where(url)} refuses our name and password`);
      if (Date.now() >= deadline)
        throw new QueueUnusable(`${SETTING}: no Redis answers at ${where(url)} (${reason})`);
      await sleep(250);
    }
  }
}

async function serverInfo(url: string): Promise<string> {
  const probe = new Redis(url, { ...BELL, retryStrategy: () => null });
  let cause: Error | undefined;
  probe.on('error', (error) => {
    cause = error;
  });
  try {
    await within(5_000, 'connecting', probe.connect());
    return await probe.info();
  } catch (error) {
    throw cause ?? error; // ioredis says "Connection is closed"; why, it says in the event
  } finally {
    probe.disconnect();
  }
}

/** Reads what INFO says of itself. A Redis that evicts keys would lose bells whenever it is full. */
function judge(info: string): void {
  const policy = field(info, 'maxmemory_policy');
  if (policy !== undefined && policy !== 'noeviction')
    throw new QueueUnusable(
      `${SETTING}: maxmemory-policy is ${policy} and must be noeviction (redis-cli config set maxmemory-policy noeviction)`,
    );
  const version = field(info, 'redis_version') ?? '0';
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 2))
    throw new QueueUnusable(`${SETTING}: Redis ${version} is too old, 6.2 or later is needed`);
}

function field(info: string, name: string): string | undefined {
  return new RegExp(`^${name}:(.*?)\\s*$`, 'm').exec(info)?.[1];
}

/** The address without name and password, fit for a log. */
function where(url: string): string {
  try {
    const { protocol, host, pathname } = new URL(url);
    return `${protocol}//${host}${pathname}`;
  } catch {
    return 'the given address';
  }
}
