/**
 * What a command says: one JSON value for programs (`--json`), a few short lines for people. Texts from
 * mail and from other hosts are cleaned before a terminal sees them.
 */
import { plainTime } from '../core/mail/text.ts';
import { clean } from '../core/runtime/clean.ts';

/** 1: it could not be done. 2: it was asked for in a way we do not understand. */
export type ExitCode = 1 | 2;

/** An error that the person at the keyboard can do something about; it is told without a stack. */
export class Failure extends Error {
  readonly exit: ExitCode;
  /** A word for programs. */
  readonly code: string;
  /** What to do about it, if we know. */
  readonly hint: string | undefined;
  constructor(
    message: string,
    {
      exit = 1,
      code = 'failed',
      hint,
      cause,
    }: { exit?: ExitCode; code?: string; hint?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.name = 'Failure';
    this.exit = exit;
    this.code = code;
    this.hint = hint;
  }
}

/** A request that makes no sense as it was written: exit code 2. */
export function misuse(message: string, hint?: string): Failure {
  return new Failure(message, { exit: 2, code: 'usage', hint });
}

export interface Options {
  json?: boolean;
}

/** What JSON may hold as it is and a terminal must not get: C1 controls, DEL, bidirectional and zero-width characters. */
const UNSEEN = /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g;

/** JSON that means the same to a program, and does nothing to the terminal it may end up on. */
export function jsonText(value: unknown, indent?: number): string {
  return JSON.stringify(value, null, indent).replace(
    UNSEEN,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** The answer of a command: `value` as it is with `--json`, else the lines for people. */
export function say({ json }: Options, value: unknown, lines: () => string | string[]): void {
  if (json === true) process.stdout.write(`${jsonText(value, 2)}\n`);
  else process.stdout.write(`${[lines()].flat().join('\n')}\n`);
}

/** Tells what went wrong and returns the exit code. */
export function complain({ json }: Options, err: unknown): ExitCode {
  const failure = err instanceof Failure ? err : new Failure(messageOf(err), { cause: err });
  const { code, message, hint } = failure;
  if (json === true) process.stdout.write(`${jsonText({ error: { code, message, hint } }, 2)}\n`);
  else process.stderr.write(`postern: ${message}\n${hint === undefined ? '' : `  ${hint}\n`}`);
  return failure.exit;
}

function messageOf(err: unknown): string {
  if (err instanceof AggregateError && err.errors.length > 0) return messageOf(err.errors[0]);
  return err instanceof Error ? err.message : String(err);
}

const GAP = '  ';

/** Columns for people; every cell is one clean line. An empty list is told in words. */
export function table(headings: string[], rows: unknown[][], none: string, max?: number): string {
  if (rows.length === 0) return none;
  const cells = [headings, ...rows.map((row) => row.map((cell) => cellOf(cell, max)))];
  const widths = headings.map((_, column) => Math.max(...cells.map((row) => (row[column] ?? '').length)));
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join(GAP)
        .trimEnd(),
    )
    .join('\n');
}

/** `name  value` lines, names in one column; undefined and null values are left out. */
export function facts(pairs: [name: string, value: unknown][]): string {
  const shown = pairs.filter(([, value]) => value !== undefined && value !== null && value !== '');
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}${GAP}${cellOf(value, 1024)}`).join('\n');
}

function cellOf(value: unknown, max = 60): string {
  if (value === undefined || value === null || value === '') return '–';
  if (Array.isArray(value)) return value.map((item) => cellOf(item, max)).join(', ');
  return clean(String(value), max);
}

/** A time as people read it: `2026-11-21 07:40:12Z`. */
export function when(time: unknown): string | undefined {
  if (time === undefined || time === null) return undefined;
  const date = new Date(time as string);
  return Number.isNaN(date.getTime()) ? undefined : plainTime(date);
}

/** Text of a message, line by line, so that no escape sequence in it reaches the terminal. */
export function quoted(text: string, lines = 40): string {
  const all = text.split(/\r?\n/);
  const shown = all.slice(0, lines).map((line) => `  | ${clean(line.replaceAll('\t', '    '), 400)}`);
  if (all.length > lines) shown.push(`  | … ${all.length - lines} more lines`);
  return shown.join('\n');
}
