/** Kinds of input that become part of a message. What could end a header line never gets past here. */
import { z } from 'zod';
import { isStrictBase64, readContentType } from '../../core/compose/attachment.ts';
import { type Address, parseAddress } from '../../core/mail/address.ts';
import { invalid } from '../problem.ts';
import { coded } from './faults.ts';
import { isMoment } from './kinds.ts';

const LONGEST_LIST = 50;
const LONGEST_ADDRESS = 1000;
const MARKDOWN = 262_144;
const AHEAD_MS = 366 * 86_400_000;
const PAST_MS = 60_000;
const ATTACHMENTS = 100;

type Context = z.core.$RefinementCtx<unknown>;

function readAddress(text: string, context: Context): Address {
  const parsed = parseAddress(text, { smtputf8: true });
  if (parsed.ok) return parsed.address;
  const [code, message] = /[\r\n\0]/.test(text)
    ? ['header_injection', 'a line break is not allowed in an address']
    : parsed.fault === 'invisible'
      ? ['invisible_characters', 'the address holds invisible characters']
      : ['invalid_address', 'is no address that mail can be sent to'];
  context.addIssue({ code: 'custom', message, ...coded(code, 422) });
  return z.NEVER;
}

export const oneAddress = z.string().max(LONGEST_ADDRESS).transform(readAddress);

/** A list, or one text with commas between. Its length is looked at before its addresses. */
export const addresses = z
  .union([z.array(z.string()), z.string().max(LONGEST_LIST * LONGEST_ADDRESS)])
  .transform((given) => (typeof given === 'string' ? given.split(',').map((text) => text.trim()) : given))
  .refine((list) => list.length <= LONGEST_LIST, { error: `at most ${LONGEST_LIST} addresses` })
  .transform((list, context) => [
    ...new Set(list.filter((text) => text !== '').map((text) => readAddress(text, context))),
  ]);

/** Text of one header field. */
export function headerText(longest: number) {
  return z
    .string()
    .max(longest)
    .refine((text) => !/[\x00-\x1f\x7f\u2028\u2029]/.test(text), {
      error: 'line breaks and control characters are not allowed here',
      ...coded('header_injection', 422),
    })
    .refine((text) => text.isWellFormed(), { error: 'is no valid text', ...coded('invalid_text', 422) });
}

/** The text of a message. */
export const messageText = z
  .string()
  .max(MARKDOWN)
  .refine((text) => !text.includes('\0') && text.isWellFormed(), {
    error: 'holds NUL or half a character',
    ...coded('invalid_text', 422),
  });

/** A moment ahead. Whether it has passed is asked later, since a repeated request may name one that has: see `due`. */
export const sendAt = z
  .string()
  .refine((text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z$/.test(text) && isMoment(text), {
    error: 'must be an ISO 8601 time in UTC that ends in Z',
    ...coded('send_at_invalid'),
  })
  .transform((text) => new Date(text))
  .refine((time) => time.getTime() <= Date.now() + AHEAD_MS, {
    error: 'is more than 366 days ahead',
    ...coded('send_at_invalid'),
  })
  .describe('ISO 8601 in UTC, ending in Z, at most 366 days ahead');

/** When it is due: null for now, which is also meant by what has just passed. Throws for what passed earlier. */
export function due(time: Date | undefined, now: Date): Date | null {
  if (time === undefined) return null;
  if (time.getTime() < now.getTime() - PAST_MS)
    throw invalid(400, 'send_at_past', [{ field: 'send_at', message: 'has passed' }]);
  return time > now ? time : null;
}

/** Files, as base64. There is no way to name one by path or address: what is sent is what was given. */
export const attachments = z
  .array(
    z
      .strictObject({
        name: z.string().min(1).max(10_000),
        content_base64: z.string().refine(isStrictBase64, {
          error: 'must be base64 with its padding and without line breaks',
          ...coded('invalid_attachment', 422),
        }),
        content_type: z.string().transform((text, context) => {
          const type = readContentType(text);
          if (type !== undefined) return type;
          const broken = /[\r\n\0]/.test(text);
          context.addIssue({
            code: 'custom',
            message: broken
              ? 'a line break is not allowed in a content type'
              : 'must be a content type such as application/pdf; mail and multipart go as application/octet-stream',
            ...coded(broken ? 'header_injection' : 'invalid_attachment', 422),
          });
          return z.NEVER;
        }),
      })
      .transform(({ name, content_base64, content_type }) => ({
        name,
        contentType: content_type,
        base64: content_base64,
      })),
  )
  .max(ATTACHMENTS)
  .describe('Files, each with name, content_base64 and content_type');

export const idempotencyKey = z.string().regex(/^[ -~]{1,200}$/, 'must be 1 to 200 printable characters');

const RESERVED = ['__proto__', 'constructor', 'prototype'];
const tagKey = z
  .string()
  .regex(/^[^\p{C}=]{1,128}$/u, 'a key is 1 to 128 printable characters without =')
  .refine((key) => !RESERVED.includes(key), { error: 'this name is not allowed' });
const tagValue = z.string().regex(/^[^\p{C}]{0,512}$/u, 'a value is at most 512 printable characters');

/** A map, or a list of keys. */
export const tags = z
  .union([z.record(tagKey, tagValue), z.array(tagKey)])
  .transform((given) =>
    Array.isArray(given) ? Object.fromEntries(given.map((key) => [key, 'true'])) : given,
  )
  .refine((map) => Object.keys(map).length <= 64, { error: 'at most 64 tags' });
