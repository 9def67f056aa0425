/** The headers in which a message repeats itself for whoever stands between: they must say what the body says. */
import type { IncomingHttpHeaders } from 'node:http';
import { CODES, Fault, isModern, type Request, versionOf } from './protocol.ts';

/** Why the headers do not fit the request; undefined when they do. Legacy revisions know the version alone. */
export function checkHeaders(request: Request, headers: IncomingHttpHeaders): Fault | undefined {
  const version = headers['mcp-protocol-version'];
  const named = versionOf(request);
  if (version === undefined)
    return isModern(named) ? mismatch('MCP-Protocol-Version is missing.') : undefined;
  if (!isModern(named ?? String(version))) return undefined;
  // A version we do not speak has its own answer, which names those we do.
  if (named !== undefined && named !== version)
    return mismatch('MCP-Protocol-Version and the version in _meta differ.');
  if (version !== '2026-07-28') return undefined;
  if (headers['mcp-method'] !== request.method) return mismatch('Mcp-Method and the method differ.');
  const { name } = request.params;
  if (request.method === 'tools/call' && decoded(headers['mcp-name']) !== name)
    return mismatch('Mcp-Name and the name of the tool differ.');
  return undefined;
}

const mismatch = (text: string) =>
  new Fault(CODES.headerMismatch, `Header mismatch: ${text}`, { status: 400 });

/** A header's value; what does not fit into one comes as `=?base64?…?=`. */
function decoded(value: string | string[] | undefined): string | undefined {
  if (typeof value !== 'string') return undefined;
  const wrapped = /^=\?base64\?(.*)\?=$/.exec(value.trim())?.[1];
  if (wrapped === undefined) return value.trim();
  const bytes = Buffer.from(wrapped, 'base64');
  return bytes.toString('base64') === wrapped ? bytes.toString('utf8') : undefined;
}
