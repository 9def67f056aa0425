/** Command lines as text, and the parts of RFC 5321 that need nothing but the line. */
import { isAscii, isUtf8 } from 'node:buffer';

export interface Command {
  verb: string;
  /** Behind the verb, without the space around it. */
  rest: string;
  /** The whole line. */
  text: string;
}

// RFC 5321 §4.5.3.1.4 with what our extensions add (§4.1.1.11): SIZE, BODY, SMTPUTF8, AUTH=, longer paths
// in UTF-8; and RFC 4954 §4.5 for AUTH.
const LINE = 510;
const PATH_LINE = 1536;
/** No line is longer, AUTH and its answers included. */
export const LONGEST_LINE = 12_286;

/** Undefined when the line holds what no command can: control characters, or what is no UTF-8. */
export function readCommand(line: Buffer): Command | undefined {
  if (!isAscii(line) && !isUtf8(line)) return undefined;
  const text = isAscii(line) ? line.toString('latin1') : line.toString('utf8');
  if (/[\x00-\x08\x0a-\x1f\x7f\u0080-\u009f]/.test(text)) return undefined;
  const space = text.search(/[ \t]/);
  const verb = (space === -1 ? text : text.slice(0, space)).toUpperCase();
  return { verb, rest: space === -1 ? '' : text.slice(space + 1).trim(), text };
}

/** Whether the line is longer than its command may be. */
export function isTooLong(line: Buffer, verb: string | undefined): boolean {
  if (line.length <= LINE) return false;
  if (verb === 'AUTH') return false;
  return !(verb === 'MAIL' || verb === 'RCPT') || line.length > PATH_LINE;
}

/** A browser, or something else that does not speak SMTP, made to knock here. */
export function isOtherProtocol({ verb, text }: Command): boolean {
  if (/^(GET|POST|PUT|HEAD|OPTIONS|DELETE|TRACE|CONNECT|PATCH|PRI)$/.test(verb)) return true;
  return /^(host|user-agent|content-length):/i.test(text);
}

/**
 * Whether EHLO's argument can be stored. Strangers must name a host or an address literal (RFC 5321 §4.1.3);
 * our own clients may call themselves what Windows called them, in one word of printable ASCII.
 */
export function isGreetingName(name: string, { strict }: { strict: boolean }): boolean {
  if (name.length > 255) return false;
  if (!strict) return /^[\x21-\x7e]+$/.test(name);
  return (
    /^[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9._])?$/.test(name) || /^\[[A-Za-z0-9.:]{2,60}\]$/.test(name)
  );
}
