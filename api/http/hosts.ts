/**
 * Which names this API answers to. A page in a browser can make its own host name resolve to this machine
 * (DNS rebinding); the Host it then sends is not one of ours.
 */
import { isIP } from 'node:net';
import type { Config } from '../../core/runtime/config.ts';

export function hostCheck({
  http,
  hostname,
}: Pick<Config, 'http' | 'hostname'>): (host: string | undefined) => boolean {
  const ours = new Set(['localhost', '127.0.0.1', '[::1]', hostname.toLowerCase(), bracketed(http.host)]);
  if (http.public_url !== undefined) ours.add(new URL(http.public_url).hostname.toLowerCase());
  const anywhere = http.host === '0.0.0.0' || http.host === '::';
  return (host) => {
    if (host === undefined || host === '') return false;
    const name = host.toLowerCase().replace(/:\d*$/, '').replace(/\.$/, '');
    if (ours.has(name)) return true;
    // Bound to every interface, any literal address may be ours; a name that was rebound is no literal.
    return anywhere && isIP(name.replace(/^\[|\]$/g, '')) !== 0;
  };
}

function bracketed(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host.toLowerCase();
}
