/**
 * Where webhooks may go: out to the internet, by https, and never to this Postern, so that nobody makes us ask what
 * only we can reach. A name that does not resolve just now is let through: the address is looked at again when
 * something is sent to it.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { z } from 'zod';
import { isPublicAddress, isPublicName } from '../../core/runtime/public-space.ts';
import type { Call } from '../operation.ts';
import { invalid } from '../problem.ts';

const PATIENCE_MS = 3_000;

/** An address as a webhook can have one: https, without a login in it. */
export const webhookUrl = z
  .string()
  .max(2000)
  .refine((text) => URL.canParse(text) && new URL(text).protocol === 'https:', {
    error: 'must be a URL that begins with https://',
  })
  .refine((text) => !URL.canParse(text) || (new URL(text).username === '' && new URL(text).password === ''), {
    error: 'must not hold a login',
  })
  .transform((text) => new URL(text).href);

/** Throws the 422 for an address in private space or at this Postern. `url` was read by `webhookUrl`. */
export async function requireSafeTarget(url: string, field: string, call: Call): Promise<void> {
  const host = hostOf(url);
  const { webhooks } = call.runtime.config;
  if (isOurs(url, call)) throw unsafe(field, 'this is Postern itself');
  if (webhooks.allow_hosts.some((allowed) => allowed.toLowerCase() === host)) return;
  if (isIP(host) !== 0 ? !isPublicAddress(host) : !isPublicName(host))
    throw unsafe(field, 'this host is not on the internet');
  if (isIP(host) === 0 && !(await addressesOf(host)).every(isPublicAddress))
    throw unsafe(field, 'this host has an address that is not on the internet');
}

function hostOf(url: string): string {
  return new URL(url).hostname.replace(/^\[|\]$|\.$/g, '').toLowerCase();
}

function isOurs(url: string, { runtime, baseUrl }: Call): boolean {
  const host = hostOf(url);
  return host === hostOf(baseUrl) || host === runtime.config.hostname.toLowerCase();
}

/** All of them: one that is private among others is what an attacker would use. Nothing while nobody answers. */
async function addressesOf(host: string): Promise<string[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<[]>((resolve) => {
    timer = setTimeout(() => resolve([]), PATIENCE_MS);
  });
  const found = lookup(host, { all: true }).catch(() => []);
  return Promise.race([found, late])
    .then((all) => all.map(({ address }) => address))
    .finally(() => clearTimeout(timer));
}

function unsafe(field: string, message: string): Error {
  return invalid(422, 'unsafe_url', [{ field, message }]);
}
