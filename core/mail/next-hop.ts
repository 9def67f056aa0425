/**
 * What a next hop answered, made safe to keep. The text was written by a stranger and goes into
 * our log, a DSN and a web page, so it becomes one bounded line without control characters.
 */
import type { Reply } from './reply.ts';
import { oneLine } from './text.ts';

/** `code` is 0 when what came was no SMTP reply; `enhanced` is null when none was given or it contradicts the code. */
export interface NextHopReply {
  code: number;
  enhanced: string | null;
  text: string;
}

const READ_CHARACTERS = 8192;
const TEXT_OCTETS = 1024;
const LINE = /^([2-5][0-9][0-9])(?:[ -](.*))?$/s;
const ENHANCED = /^([245])\.([0-9]{1,3})\.([0-9]{1,3})(?:\s|$)/;

/**
 * Reads a reply as text (`550-5.1.1 No\r\n550 5.1.1 such user`) or as a client library hands it over.
 * Never throws; the lines of a multi-line reply are joined and their repeated codes dropped.
 */
export function parseNextHopReply(
  reply: string | { code?: number | null; response?: string | null },
): NextHopReply {
  const given = typeof reply === 'string' ? { code: undefined, response: reply } : reply;
  const lines = (given.response ?? '').slice(0, READ_CHARACTERS).split(/\r\n|\n/);
  const code = LINE.exec(lines[0]!)?.[1] ?? validCode(given.code) ?? '0';
  const texts = lines.map((line) => textOf(line, code));
  const enhanced = texts.map((text) => ENHANCED.exec(text)?.[0].trim()).find((found) => found !== undefined);
  return {
    code: Number(code),
    enhanced: enhanced !== undefined && enhanced[0] === code[0] ? enhanced : null,
    text: oneLine(texts.map((text) => text.replace(ENHANCED, '')).join(' '), TEXT_OCTETS),
  };
}

/** Whether a reply says yes, later, or never. What is no reply at all means later: mail is not given up for garbage. */
export function outcomeOf({ code }: { code: number }): 'success' | 'temporary' | 'permanent' {
  if (code >= 200 && code < 300) return 'success';
  return code >= 500 && code < 600 ? 'permanent' : 'temporary';
}

/** The enhanced code of a reply, or the generic one of its class (RFC 3463 §3.1), as the Status of a DSN. */
export function statusOf(reply: NextHopReply | Reply): string {
  if (reply.enhanced !== null) return reply.enhanced;
  return { success: '2.0.0', temporary: '4.0.0', permanent: '5.0.0' }[outcomeOf(reply)];
}

function textOf(line: string, code: string): string {
  const match = LINE.exec(line);
  return match !== null && match[1] === code ? (match[2] ?? '') : line;
}

function validCode(code: number | null | undefined): string | undefined {
  return code != null && Number.isInteger(code) && code >= 200 && code <= 599 ? String(code) : undefined;
}
