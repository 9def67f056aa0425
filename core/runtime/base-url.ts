import type { Config } from './config.ts';

/** Where this Postern is reached from outside, without a slash at the end. */
export function baseUrlOf({ http }: Pick<Config, 'http'>): string {
  return (http.public_url ?? `http://${http.host}:${http.port}`).replace(/\/+$/, '');
}
