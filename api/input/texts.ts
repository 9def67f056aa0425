/** What no text and no name of an input may be, wherever it stands: looked for once, before any definition is. */

export interface TextFault {
  code: 'invalid_text' | 'invalid_field';
  field: string;
  message: string;
}

/** Names by which JavaScript reaches what is no data. */
const RESERVED = new Set(['__proto__', 'constructor', 'prototype']);

/**
 * The first fault of an input: NUL or half a character, which PostgreSQL has no way to store or compare and
 * digests no way to agree on, or a member with a reserved name.
 */
export function textFault(value: unknown, path: readonly string[] = []): TextFault | undefined {
  if (typeof value === 'string')
    return isBroken(value)
      ? { code: 'invalid_text', field: path.join('.'), message: 'holds NUL or half a character' }
      : undefined;
  if (typeof value !== 'object' || value === null || Buffer.isBuffer(value)) return undefined;
  for (const name of Object.keys(value)) {
    if (isBroken(name))
      return {
        code: 'invalid_text',
        field: path.join('.'),
        message: 'has a name that holds NUL or half a character',
      };
    if (RESERVED.has(name))
      return { code: 'invalid_field', field: [...path, name].join('.'), message: 'this name is not allowed' };
    const found = textFault((value as Record<string, unknown>)[name], [...path, name]);
    if (found !== undefined) return found;
  }
  return undefined;
}

function isBroken(text: string): boolean {
  return text.includes('\0') || !text.isWellFormed();
}
