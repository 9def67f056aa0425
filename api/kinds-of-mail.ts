/** Kinds of input that become part of a message. What could end a header line never gets past here. */
import { z } from 'zod';
import { type Address, parseAddress } from '../core/mail/address.ts';
import { coded } from './faults.ts';

const LONGEST_LIST = 50;
const LONGEST_ADDRESS = 1000;
const MARKDOWN = 262_144;
const AHEAD_MS = 366 * 86_400_000;
const PAST_MS = 60_000;

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

/** A moment ahead; one that has just passed means now. */
export const sendAt = z
  .string()
  .refine(
    (text) => /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?Z$/.test(text) && !Number.isNaN(Date.parse(text)),
    {
      error: 'must be an ISO 8601 time in UTC that ends in Z',
      ...coded('send_at_invalid'),
    },
  )
  .transform((text) => new Date(text))
  .refine((time) => time.getTime() <= Date.now() + AHEAD_MS, {
    error: 'is more than 366 days ahead',
    ...coded('send_at_invalid'),
  })
  .refine((time) => time.getTime() >= Date.now() - PAST_MS, {
    error: 'has passed',
    ...coded('send_at_past'),
  });

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
