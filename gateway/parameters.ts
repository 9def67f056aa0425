/**
 * MAIL and RCPT lines, taken apart (RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.1.11). A parameter of an extension
 * that we do not announce is refused, never ignored: the client would rely on it.
 */
import { type Address, parsePath } from '../core/mail/address.ts';
import { addressRefusal, REFUSALS, type Reply } from '../core/mail/reply.ts';

export interface MailLine {
  reversePath: Address | '';
  /** As announced with SIZE; undefined when not. */
  size: number | undefined;
  body8bit: boolean;
  smtputf8: boolean;
}

export type Parsed<T> = ({ ok: true } & T) | { ok: false; reply: Reply };

// What follows the path begins with something to see and goes on to the end, so that there is one way only to
// match a run of blanks: with several, a line of nothing but blanks would take a second to refuse.
const LINE = /^(MAIL FROM|RCPT TO):[ ]?(<.*?>|[^ <>]+)(?: +(\S.*)?)?$/is;
const KEYWORD = /^[A-Za-z0-9][A-Za-z0-9-]*$/;
const VALUE = /^[\x21-\x3c\x3e-\x7e]+$/;

/** Reads a MAIL line; `authenticated` lets RFC 4954 §5's AUTH= pass, which says nothing to us. */
export function parseMail(
  line: string,
  { maxSize, authenticated }: { maxSize: number; authenticated: boolean },
): Parsed<MailLine> {
  const match = LINE.exec(line);
  if (match === null) return refuse(addressRefusal('syntax', 'reversePath'));
  const parameters = readParameters(match[3]);
  if (parameters === undefined) return refuse(REFUSALS.badParameter);
  const found: Omit<MailLine, 'reversePath'> = { size: undefined, body8bit: false, smtputf8: false };
  for (const [name, value] of parameters) {
    const fault = readMailParameter(name, value, found, { maxSize, authenticated });
    if (fault !== undefined) return refuse(fault);
  }
  const path = parsePath(match[2]!, { smtputf8: found.smtputf8, allowNull: true });
  if (!path.ok) return refuse(addressRefusal(path.fault, 'reversePath'));
  return { ok: true, reversePath: path.path, ...found };
}

function readMailParameter(
  name: string,
  value: string | undefined,
  found: Omit<MailLine, 'reversePath'>,
  { maxSize, authenticated }: { maxSize: number; authenticated: boolean },
): Reply | undefined {
  switch (name) {
    case 'SIZE':
      // RFC 1870 §3 allows 20 digits; no message is that large.
      if (value === undefined || !/^\d{1,19}$/.test(value)) return REFUSALS.badParameter;
      found.size = Number(value);
      return found.size > maxSize ? REFUSALS.messageTooLarge : undefined;
    case 'BODY':
      if (value === undefined || !/^(7BIT|8BITMIME)$/i.test(value)) return REFUSALS.badParameter;
      found.body8bit = value.toUpperCase() === '8BITMIME';
      return undefined;
    case 'SMTPUTF8':
      if (value !== undefined) return REFUSALS.badParameter;
      found.smtputf8 = true;
      return undefined;
    case 'AUTH':
      if (!authenticated) return REFUSALS.unknownParameter;
      return value === undefined ? REFUSALS.badParameter : undefined;
    default:
      return REFUSALS.unknownParameter;
  }
}

/** Reads a RCPT line. `postmaster` without a domain (RFC 5321 §4.1.1.3) is the one at `hostname`. */
export function parseRcpt(
  line: string,
  { smtputf8, hostname }: { smtputf8: boolean; hostname: string },
): Parsed<{ forwardPath: Address }> {
  const match = LINE.exec(line);
  if (match === null) return refuse(addressRefusal('syntax', 'forwardPath'));
  const parameters = readParameters(match[3]);
  if (parameters === undefined) return refuse(REFUSALS.badParameter);
  if (parameters.size > 0) return refuse(REFUSALS.unknownParameter);
  const written = /^<postmaster>$/i.test(match[2]!) ? `<postmaster@${hostname}>` : match[2]!;
  const path = parsePath(written, { smtputf8 });
  if (!path.ok) return refuse(addressRefusal(path.fault, 'forwardPath'));
  return { ok: true, forwardPath: path.path as Address };
}

/** Undefined when one is malformed or given twice. */
function readParameters(text: string | undefined): Map<string, string | undefined> | undefined {
  const found = new Map<string, string | undefined>();
  if (text === undefined || text === '') return found;
  const words = text.split(/ +/);
  if (words.at(-1) === '') words.pop(); // blanks at the end
  for (const word of words) {
    const equals = word.indexOf('=');
    const name = (equals === -1 ? word : word.slice(0, equals)).toUpperCase();
    const value = equals === -1 ? undefined : word.slice(equals + 1);
    if (!KEYWORD.test(name) || found.has(name)) return undefined;
    if (value !== undefined && !VALUE.test(value)) return undefined;
    found.set(name, value);
  }
  return found;
}

function refuse(reply: Reply): { ok: false; reply: Reply } {
  return { ok: false, reply };
}
