/**
 * X-Postern-* header fields, by which a submission client steers (they are removed before the message is
 * stored). What we cannot read is refused: a request for more oversight must not be lost to a typing error.
 */
import type { Facts } from '../core/mail/facts.ts';
import { isMode, type Mode } from '../core/mail/mode.ts';
import { REFUSALS, type Reply } from '../core/mail/reply.ts';
import { isAsciiText } from '../core/mail/text.ts';

export interface Control {
  tags: Record<string, string>;
  agent: string | null;
  /** Asks for at least this much oversight; it never loosens. */
  requestedMode: Mode | null;
  idempotencyKey: string | null;
  sendAt: Date | null;
}

export const NO_CONTROL: Control = {
  tags: {},
  agent: null,
  requestedMode: null,
  idempotencyKey: null,
  sendAt: null,
};

const TAGS = 64;
const TAG_KEY = 128;
const TAG_VALUE = 512;
const AGENT = 200;
const KEY = 200;
const DAYS_AHEAD = 366;
const DAY_MS = 86_400_000;
/** Names by which JavaScript reaches what is no data; REST refuses them as keys too. */
const RESERVED = new Set(['__proto__', 'constructor', 'prototype']);
const CONTROL_CHARACTER = /[\p{Cc}\p{Cf}]/u;
/** ISO 8601 in UTC, to the minute or finer. */
const UTC = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|\+00:00)$/;

type Reader = (value: string, control: Control, now: Date) => boolean;

const READERS: Record<string, Reader> = {
  'x-postern-tags'(value, control) {
    const tags = readTags(value);
    if (tags !== undefined) control.tags = tags;
    return tags !== undefined;
  },
  'x-postern-agent'(value, control) {
    control.agent = value;
    return value !== '' && value.length <= AGENT && !CONTROL_CHARACTER.test(value);
  },
  'x-postern-oversight'(value, control) {
    if (!isMode(value)) return false;
    control.requestedMode = value;
    return true;
  },
  'x-postern-idempotency-key'(value, control) {
    control.idempotencyKey = value;
    return value !== '' && value.length <= KEY && isAsciiText(value);
  },
  'x-postern-send-at'(value, control, now) {
    const at = UTC.test(value) ? new Date(value) : undefined;
    if (at === undefined || Number.isNaN(at.getTime()) || !sameDay(at, value)) return false;
    control.sendAt = at;
    const ahead = at.getTime() - now.getTime();
    return ahead > 0 && ahead <= DAYS_AHEAD * DAY_MS;
  },
};

/** Reads them all; a reply when one is unknown, stands twice or has no valid value. */
export function readControl({ control: fields }: Pick<Facts, 'control'>, now: Date): Control | Reply {
  if (fields.length === 0) return NO_CONTROL;
  const control: Control = { ...NO_CONTROL };
  const seen = new Set<string>();
  for (const { name, value } of fields) {
    const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
    if (read === undefined || seen.has(name) || !read(value, control, now)) return REFUSALS.badControlHeader;
    seen.add(name);
  }
  return control;
}

/** `k=v, k2=v2`; a word without `=` is stored as `{word: "true"}`, as the API does. */
function readTags(value: string): Record<string, string> | undefined {
  const tags = new Map<string, string>();
  for (const item of value.split(',')) {
    const text = item.trim();
    if (text === '') continue;
    const equals = text.indexOf('=');
    const key = (equals === -1 ? text : text.slice(0, equals)).trim();
    const word = equals === -1 ? 'true' : text.slice(equals + 1).trim();
    if (key === '' || key.length > TAG_KEY || word.length > TAG_VALUE || tags.has(key)) return undefined;
    if (RESERVED.has(key)) return undefined;
    if (CONTROL_CHARACTER.test(key) || CONTROL_CHARACTER.test(word)) return undefined;
    tags.set(key, word);
  }
  return tags.size > TAGS ? undefined : Object.fromEntries(tags);
}

/** Date reads 30 February as 1 March; nobody who writes it means that. */
function sameDay(at: Date, value: string): boolean {
  return at.toISOString().slice(0, 16) === value.slice(0, 16);
}
