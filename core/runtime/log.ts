/** The log: one JSON object a line, on stderr. Mail content, secrets and strangers' addresses stay out of it. */
import { type DestinationStream, type Logger, pino } from 'pino';
import { clean } from './clean.ts';

export type Log = Logger;
export { clean };

/** Never written, wherever in a line they turn up (one level deep): a mistake at a call costs nothing then. */
const SECRETS = ['password', 'pass', 'secret', 'token', 'key', 'api_key', 'authorization', 'cookie', 'url'];

export interface LogOptions {
  level: string;
  /** Which process: `gateway`, `policy`, …; or `all`. */
  room?: string;
  destination?: DestinationStream;
}

export function createLog({ level, room, destination }: LogOptions): Log {
  const log = pino(
    {
      level,
      base: room === undefined ? {} : { room },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
      serializers: { err: errorFacts },
      hooks: {
        logMethod(args, method) {
          const safe = args.map((arg) => (typeof arg === 'string' ? clean(arg) : cleanTexts(arg)));
          method.apply(this, safe as Parameters<typeof method>);
        },
      },
    },
    // stderr, unbuffered: the line before a crash is the one that matters
    destination ?? pino.destination({ fd: 2, sync: true }),
  );
  const { child } = log;
  // children inherit this from their parent, so what is bound at any depth has been cleaned
  log.child = function (this: Log, fields: object, ...rest: []) {
    return child.call(this, cleanFields(fields), ...rest);
  } as typeof log.child;
  return log;
}

/** Texts of a line's own fields are cleaned here, so that no call has to remember it. */
function cleanTexts(arg: unknown): unknown {
  if (typeof arg !== 'object' || arg === null) return arg;
  if (arg instanceof Error) return { err: arg };
  return cleanFields(arg);
}

function cleanFields(fields: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, cleanValue(value, 0)]));
}

const DEPTH = 4;
const ITEMS = 100;

function cleanValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return clean(value);
  if (typeof value !== 'object' || value === null || value instanceof Error || value instanceof Date)
    return value;
  if (depth >= DEPTH || Buffer.isBuffer(value)) return '[…]';
  if (Array.isArray(value)) return value.slice(0, ITEMS).map((item) => cleanValue(item, depth + 1));
  const entries = Object.entries(value).slice(0, ITEMS);
  return Object.fromEntries(entries.map(([name, item]) => [clean(name, 100), cleanValue(item, depth + 1)]));
}

interface ErrorFacts {
  type: string;
  message: string;
  code?: string;
  stack?: string;
  cause?: ErrorFacts;
}

/**
 * What is worth knowing of an error. Only these fields: pg and fetch hang whole rows, requests and
 * messages on theirs.
 */
export function errorFacts(err: unknown, depth = 0): ErrorFacts {
  if (!(err instanceof Error)) return { type: typeof err, message: clean(String(err)) };
  const { code } = err as { code?: unknown };
  return {
    type: clean(err.name, 100),
    message: clean(err.message),
    ...(typeof code === 'string' || typeof code === 'number' ? { code: clean(String(code), 100) } : {}),
    ...(err.stack === undefined ? {} : { stack: framesOf(err.stack) }),
    ...(err.cause === undefined || depth >= 3 ? {} : { cause: errorFacts(err.cause, depth + 1) }),
  };
}

/** The frames only: the message is told already, and may be long. */
function framesOf(stack: string): string {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  return frames
    .slice(0, 12)
    .map((frame) => clean(frame.trim(), 200))
    .join(' | ');
}
