/** Kinds of input that mailboxes and their settings are made of. */
import { z } from 'zod';
import { type Address, parseAddress } from '../../core/mail/address.ts';
import { type Pattern, parsePattern } from '../../core/mail/pattern.ts';
import { coded } from './faults.ts';
import { truth } from './kinds.ts';

export const mailboxName = z.string().min(1).max(320).describe('Id or address of the mailbox');
export const approvalCode = z
  .string()
  .max(16)
  .optional()
  .describe('The code that was mailed to the operator');

/** An address in its canonical form; what is none is a malformed request here, for nothing is being sent. */
export const addressUpTo = (characters: number) =>
  z
    .string()
    .max(characters)
    .transform((text, context): Address => {
      const parsed = parseAddress(text, { smtputf8: true });
      if (parsed.ok) return parsed.address;
      const message = 'is no address that mail can be sent to';
      context.addIssue({ code: 'custom', message, ...coded('invalid_address') });
      return z.NEVER;
    });
export const plainAddress = addressUpTo(1000);

/** Whom an allowlist lets through. */
export const pattern = z
  .string()
  .min(1)
  .max(320)
  .transform((text, context): Pattern => {
    const parsed = parsePattern(text.trim());
    if (parsed.ok) return parsed.pattern;
    context.addIssue({ code: 'custom', message: wordsFor(parsed.fault), ...coded('invalid_pattern') });
    return z.NEVER;
  })
  .describe('ana@example.com, or *@example.com for everyone at exactly that domain');

function wordsFor(fault: string): string {
  if (fault === 'publicSuffix') return 'anybody can have a name below this domain';
  if (fault === 'needsFullDomain') return 'needs a whole domain, such as *@example.com';
  return 'must be an address, or *@ and a domain';
}

/** Disclosure is locked on: saying so again is fine, taking it away is not. */
export const aiDisclosure = truth
  .refine((on) => on, {
    error: 'that an AI agent writes is always disclosed; it cannot be turned off',
    ...coded('ai_disclosure_locked'),
  })
  .optional()
  .describe('Locked on');

// What could move a cursor or turn the text around it; line breaks are what a signature is made of.
const UNFIT = /[\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]|(?!\n)\p{Cc}/u;

export const signatureBlock = z
  .string()
  .transform((text) => text.replace(/\r\n?/g, '\n').trim())
  .pipe(
    z
      .string()
      .max(200)
      .refine((text) => !UNFIT.test(text), { error: 'control characters are not allowed here' }),
  )
  .transform((text) => (text === '' ? null : text))
  .nullable()
  .describe('Stands below what is sent; null for none');
