/** Rules between keys: what no single key can know. */

import type { Config } from './config.ts';
import { dotted, envName, type Path } from './config-walk.ts';

/** Faults of a configuration whose every key is good by itself. */
export function crossFaults(config: Config): string[] {
  return [
    ...certificate(config),
    ...routes(config),
    ...logins(config),
    ...listeners(config),
    ...networks(config),
    ...mailboxes(config),
    ...waits(config),
  ];
}

/** `submission.port (POSTERN_SUBMISSION_PORT)`: a key as every fault names it. */
export function named(path: Path): string {
  const name = envName(path);
  return name === undefined ? dotted(path) : `${dotted(path)} (${name})`;
}

function certificate({ tls }: Config): string[] {
  if ((tls.certificate_file === undefined) === (tls.key_file === undefined)) return [];
  const missing = tls.key_file === undefined ? 'key_file' : 'certificate_file';
  return [`${named(['tls', missing])}: is missing; a certificate and its key come together`];
}

function routes({ delivery, mailboxes }: Config): string[] {
  const names = Object.keys(delivery.routes);
  const faults = (path: Path, route: string | undefined) =>
    route === undefined || names.includes(route)
      ? []
      : [`${named(path)}: expected the name of a route (${names.join(', ')}), got "${route}"`];
  return [
    ...faults(['delivery', 'default_route'], delivery.default_route),
    ...mailboxes.flatMap(({ route }, at) => faults(['mailboxes', at, 'route'], route)),
  ];
}

function logins({ delivery, smarthost }: Config): string[] {
  return Object.entries(delivery.routes).flatMap(([name, route]) => {
    if (route.type !== 'smarthost') return [];
    const short = name === 'smarthost' && smarthost.host !== undefined;
    const path = short ? ['smarthost'] : ['delivery', 'routes', name];
    if ((route.username === undefined) !== (route.password === undefined)) {
      const missing = route.username === undefined ? 'username' : 'password';
      return [`${named([...path, missing])}: is missing; a user name and its password come together`];
    }
    const local = /^(localhost|127\.[\d.]+|::1)$/.test(route.host);
    if (route.username !== undefined && route.tls === 'none' && !local)
      return [
        `${named([...path, 'tls'])}: expected required or opportunistic, for a password must not travel in clear`,
      ];
    return [];
  });
}

function listeners({ submission, mx, trusted, http }: Config): string[] {
  const taken = new Map<string, Path>();
  const ports: [boolean, string, number, Path][] = [
    [submission.enabled, submission.host, submission.port, ['submission', 'port']],
    [submission.enabled, submission.host, submission.tls_port, ['submission', 'tls_port']],
    [mx.enabled, mx.host, mx.port, ['mx', 'port']],
    [trusted.enabled, trusted.host, trusted.port, ['trusted', 'port']],
    [true, http.host, http.port, ['http', 'port']],
  ];
  return ports.flatMap(([enabled, host, port, path]) => {
    if (!enabled || port === 0) return [];
    const other = taken.get(`${host} ${port}`);
    taken.set(`${host} ${port}`, path);
    return other === undefined ? [] : [`${named(path)}: port ${port} is already that of ${named(other)}`];
  });
}

function networks({ trusted }: Config): string[] {
  const names = trusted.networks.map(({ name }) => name);
  return [
    ...(trusted.enabled && names.length === 0
      ? [
          `${named(['trusted', 'networks'])}: is missing; the trusted listener takes mail from listed networks only`,
        ]
      : []),
    ...repeated(names).map((at) => `trusted.networks[${at}].name: "${names[at]}" is there twice`),
  ];
}

function mailboxes({ mailboxes }: Config): string[] {
  const addresses = mailboxes.map(({ address }) => address.toLowerCase());
  return repeated(addresses).map((at) => `mailboxes[${at}].address: "${addresses[at]}" is there twice`);
}

function waits({ delivery }: Config): string[] {
  const { first_seconds, max_seconds } = delivery.retry;
  return first_seconds <= max_seconds
    ? []
    : [
        `${named(['delivery', 'retry', 'max_seconds'])}: expected at least first_seconds (${first_seconds}), got ${max_seconds}`,
      ];
}

function repeated(words: string[]): number[] {
  return words.flatMap((word, at) => (words.indexOf(word) < at ? [at] : []));
}
