/** What an operation answered, as the blocks of text that a model reads. */
import type { Tool } from '../operation.ts';
import { type Problem, problemBody } from '../problem.ts';
import { FIELDS_WARNING, fenced, newNonce } from './fences.ts';
import { isObject } from './protocol.ts';

export interface Result {
  content: { type: 'text'; text: string }[];
  isError?: true;
}

const blocks = (...texts: string[]): Result => ({ content: texts.map((text) => ({ type: 'text', text })) });

/** The blocks of an answer. There is no structuredContent: it would carry mail outside the fences. */
export function tell({ tells = 'json' }: Pick<Tool, 'tells'>, body: unknown): Result {
  if (tells === 'text') return blocks(String((body as { text: unknown }).text));
  const metadata = json(bare(body));
  if (tells === 'json' || !isObject(body)) return blocks(metadata);
  switch (tells) {
    case 'message':
      return blocks(metadata, `${FIELDS_WARNING}\n${fenced(idOf(body), textOf(body), newNonce())}`);
    case 'messages': {
      const nonce = newNonce();
      const emails = Array.isArray(body.emails) ? body.emails.filter(isObject) : [];
      const bodies = emails.map((email) => fenced(idOf(email), textOf(email), nonce));
      return blocks(
        json(bare({ ...body, pending: undefined, messages: undefined })),
        ...bodies,
        FIELDS_WARNING,
      );
    }
    default:
      return body.found === false ? blocks(metadata) : blocks(metadata, FIELDS_WARNING);
  }
}

/** A failure: the status and the word for it, the sentence, then whatever else a caller may act on. */
export function tellProblem(problem: Problem): Result {
  return tellError(problem.status, withPause(problemBody(problem), problem.headers['retry-after']));
}

/** The seconds to wait stand in a header of REST, which nobody sees here. */
export function withPause(body: Record<string, unknown>, seconds: string | null | undefined) {
  return seconds ? { ...body, retry_after_seconds: Number(seconds) } : body;
}

/** The same of the body of an error, as REST answers it. */
export function tellError(status: number, body: Record<string, unknown>): Result {
  const { error, code, type: _t, title: _i, status: _s, detail: _d, ...extra } = body;
  const rest = Object.keys(extra).length > 0 ? `\n${json(bare(extra))}` : '';
  return { ...blocks(`${status} ${code}: ${clean(String(error))}${rest}`), isError: true };
}

/** A block that stands before those of a result. */
export function led(block: object, result: Result): Result {
  return { ...result, content: [{ type: 'text', text: json(block) }, ...result.content] };
}

const TEXT_OF_MAIL = ['markdown', 'body', 'text_body', 'body_markdown'];
const NAMES = ['display_name', 'mailbox_name', 'from_name', 'sender_name'];
const LONGEST_NAME = 200;
const DEEPEST = 64;

/** A value without the text of mail, at whatever depth it stands, and with names that are no longer than names are. */
export function bare(value: unknown, depth = 0): unknown {
  if (depth > DEEPEST) return null;
  if (Array.isArray(value)) return value.map((item) => bare(item, depth + 1));
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => !TEXT_OF_MAIL.includes(name))
      .map(([name, held]) => [
        name,
        NAMES.includes(name) && typeof held === 'string' ? cut(held) : bare(held, depth + 1),
      ]),
  );
}

function cut(name: string): string {
  return name.length > LONGEST_NAME
    ? `${name.slice(0, LONGEST_NAME).replace(/[\ud800-\udbff]$/, '')}…`
    : name;
}

function idOf(email: Record<string, unknown>): string {
  return String(email.id ?? email.email_id ?? '').replace(/[^\w-]/g, '');
}

function textOf(email: Record<string, unknown>): string {
  const text = TEXT_OF_MAIL.map((name) => email[name]).find((held) => typeof held === 'string');
  return (text as string | undefined) ?? '';
}

/** What a person who reads along does not see, and a model does: C1 controls, directions, zero widths, tag characters. */
const UNSEEN =
  /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|\udb40[\udc00-\udc7f]/g;

/** JSON, indented by two. It means the same with every character that cannot be seen written out. */
function json(value: unknown): string {
  return JSON.stringify(value ?? null, null, 2).replace(UNSEEN, (unseen) =>
    unseen.replace(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  );
}

function clean(text: string): string {
  return text.replace(UNSEEN, '').replace(/[\u0000-\u001f]+/g, ' ');
}
