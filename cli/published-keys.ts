/** Public keys as a Postern publishes them: read from a file, or asked for where it runs. */
import { createPublicKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { publicKeyOf, thumbprint } from '../core/mail/token.ts';
import type { KeyRing, TrustedKey } from '../core/mail/verify-identity.ts';
import { clean } from '../core/runtime/clean.ts';
import { Failure } from './output.ts';
import { quickstartFile, readQuickstart } from './quickstart-file.ts';
import { type Common, configOf, placeOf } from './settings.ts';

const Jwk = z.object({ x: z.string(), y: z.string(), not_after: z.iso.datetime().optional() });
const Published = z.object({ ...Jwk.shape, keys: z.array(Jwk).optional() });
type PublishedKey = z.output<typeof Jwk>;

const PATH = '/.well-known/multimail-signing-key';
const TIMEOUT_MS = 30_000;

/** The keys of the file, a JWK, the published document or a PEM; without one, those that the running Postern tells. */
export async function publishedKeys(
  file: string | undefined,
  options: Common,
): Promise<{ keys: KeyRing; from: string }> {
  if (file !== undefined) return { keys: ringOf(readKeyFile(file), file), from: file };
  const config = configOf(options);
  const url = placeOf(options, config, readQuickstart(quickstartFile(config.data_dir)));
  return { keys: ringOf(await ask(url), url), from: url };
}

function readKeyFile(file: string): PublishedKey[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (err) {
    throw new Failure(`${file} cannot be read: ${(err as Error).message}`, { code: 'no_file' });
  }
  if (!text.trimStart().startsWith('-----BEGIN')) return readDocument(text, file);
  try {
    const { x = '', y = '' } = createPublicKey(text).export({ format: 'jwk' });
    return [{ x, y }];
  } catch {
    throw noKeys(file);
  }
}

async function ask(url: string): Promise<PublishedKey[]> {
  let text: string;
  try {
    const response = await fetch(`${url}${PATH}`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    text = await response.text();
  } catch (err) {
    const { cause } = err as Error;
    const reason = clean(cause instanceof Error ? cause.message : (err as Error).message, 200);
    throw new Failure(`the public keys cannot be had from ${url}: ${reason}`, {
      code: 'unreachable',
      hint: `say where it is by --url or POSTERN_URL, or give a copy of ${PATH} by --key`,
    });
  }
  return readDocument(text, url);
}

function readDocument(text: string, from: string): PublishedKey[] {
  try {
    const document = Published.parse(JSON.parse(text));
    return document.keys ?? [document];
  } catch {
    throw noKeys(from);
  }
}

function ringOf(published: PublishedKey[], from: string): KeyRing {
  const ring = new Map<string, TrustedKey>();
  for (const { x, y, not_after } of published) {
    try {
      const notAfter = not_after === undefined ? null : new Date(not_after);
      ring.set(thumbprint({ x, y }), { key: publicKeyOf({ x, y }), notAfter, service: null });
    } catch {
      throw noKeys(from);
    }
  }
  return (kid) => ring.get(kid);
}

function noKeys(from: string): Failure {
  return new Failure(`${from} holds no public keys as a Postern publishes them`, { code: 'no_keys' });
}
