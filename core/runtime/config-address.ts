/** Addresses in the configuration obey the same grammar as those in mail. */
import { z } from 'zod';
import { type Address, parseAddress } from '../mail/address.ts';
import { type Pattern, parsePattern } from '../mail/pattern.ts';

/** An address in its canonical form. */
export const address = z.string().transform((text, context): Address => {
  const parsed = parseAddress(text, { smtputf8: true });
  if (parsed.ok) return parsed.address;
  context.addIssue({ code: 'custom', input: text });
  return z.NEVER;
});

/** An address, or `*@domain` for everyone at exactly that domain. */
export const addressPattern = z.string().transform((text, context): Pattern => {
  const parsed = parsePattern(text);
  if (parsed.ok) return parsed.pattern;
  context.addIssue({ code: 'custom', input: text });
  return z.NEVER;
});
