/** A port that cannot be had, told with the setting that chooses it. */
import type { Config } from '../core/runtime/config.ts';
import { nameOf } from '../core/runtime/config-walk.ts';
import { Failure } from './output.ts';

/** Undefined when the error is about something else. */
export function portFailure(err: unknown, config: Config): Failure | undefined {
  const cause = listenError(err);
  if (cause === undefined) return undefined;
  const { code, address = '', port = 0 } = cause;
  const path = settingOf(port, config);
  const setting = path === undefined ? '' : ` (${path.join('.')}, ${nameOf(path)})`;
  const other =
    path === undefined
      ? 'choose another port'
      : `choose another, as in ${nameOf(path)}=${port < 1024 ? port + 2000 : port + 1}`;
  if (code === 'EADDRINUSE')
    return new Failure(`port ${port} on ${address}${setting} is in use by another program`, {
      code: 'port_in_use',
      hint: `see who has it: ${seeWho(port)}\n  end it, or ${other}`,
      cause: err,
    });
  if (code === 'EACCES')
    return new Failure(`port ${port} on ${address}${setting} may not be opened by this user`, {
      code: 'port_forbidden',
      hint: `ports below 1024 are for root: ${other}`,
      cause: err,
    });
  const host = path === undefined ? '' : ` (${path[0]}.host, ${nameOf([path[0]!, 'host'])})`;
  return new Failure(`${address}${host} is no address of this machine`, { code: 'address', cause: err });
}

interface ListenError extends NodeJS.ErrnoException {
  address?: string;
  port?: number;
}

/** The listen error itself, however often a room has wrapped it. */
function listenError(err: unknown): ListenError | undefined {
  for (let at = err; at instanceof Error; at = at.cause) {
    const { syscall, code } = at as ListenError;
    if (
      (syscall === 'listen' || syscall === 'bind') &&
      /^(EADDRINUSE|EACCES|EADDRNOTAVAIL)$/.test(code ?? '')
    )
      return at;
  }
  return undefined;
}

/** The command that tells who listens there. */
export function seeWho(port: number): string {
  return process.platform === 'linux' ? `ss -ltnp 'sport = :${port}'` : `lsof -nP -iTCP:${port} -sTCP:LISTEN`;
}

export type Room = 'gateway' | 'policy' | 'delivery' | 'api';

/** Where a process with these rooms listens, and the setting that says so; not where the system chooses the port. */
export function settingsOf(
  { submission, mx, trusted, http }: Config,
  rooms: readonly Room[] = ['gateway'],
): { host: string; port: number; path: string[] }[] {
  const gateway = rooms.includes('gateway');
  const places: [boolean, { host: string }, number, string[]][] = [
    [true, http, http.port, ['http', 'port']],
    [gateway && submission.enabled, submission, submission.port, ['submission', 'port']],
    [gateway && submission.enabled, submission, submission.tls_port, ['submission', 'tls_port']],
    [gateway && mx.enabled, mx, mx.port, ['mx', 'port']],
    [gateway && trusted.enabled, trusted, trusted.port, ['trusted', 'port']],
  ];
  return places
    .filter(([listens, , port]) => listens && port !== 0)
    .map(([, { host }, port, path]) => ({ host, port, path }));
}

function settingOf(port: number, config: Config): string[] | undefined {
  return settingsOf(config).find((place) => place.port === port)?.path;
}
