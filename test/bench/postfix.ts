import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Relay } from './load.ts';
import { pause } from './processes.ts';

/**
 * The peer: Debian's Postfix as a private instance that relays everything from loopback to the sink. Its own
 * configuration, queue and log; the system's instance stays off. Needs root, as Postfix does.
 */
export async function startPostfix(
  port: number,
  sinkPort: number,
): Promise<Relay & { close(): Promise<void> }> {
  const home = mkdtempSync(join(tmpdir(), 'bench-postfix-'));
  execFileSync('chmod', ['755', home]);
  const folder = (name: string) => join(home, name);
  for (const name of ['etc', 'queue', 'data', 'log']) mkdirSync(folder(name));
  execFileSync('chown', ['postfix:postfix', folder('data')]);
  writeFileSync(folder('etc/main.cf'), mainCf(home, sinkPort));
  writeFileSync(folder('etc/master.cf'), masterCf(port));
  alternate(folder('etc'));
  postfix(folder('etc'), 'start');
  const pidFile = folder('queue/pid/master.pid');
  for (let i = 0; i < 100 && !existsSync(pidFile); i++) await pause(50);
  await pause(300);
  const pid = Number(readFileSync(pidFile, 'utf8').trim());
  return {
    name: 'postfix',
    port,
    pids: [pid],
    async close() {
      process.kill(pid, 'SIGTERM');
      for (let i = 0; i < 200 && existsSync(`/proc/${pid}`); i++) await pause(50);
      forget(folder('etc'));
      rmSync(home, { recursive: true, force: true });
    },
  };
}

function postfix(etc: string, command: string): void {
  execFileSync('/usr/sbin/postfix', ['-c', etc, command], { stdio: ['ignore', 'ignore', 'pipe'] });
}

const SYSTEM = '/etc/postfix/main.cf';

/** Postfix's tools run a second configuration only when the system's file names its folder. */
function alternate(etc: string): void {
  if (!existsSync(SYSTEM)) copyFileSync('/etc/postfix/main.cf.proto', SYSTEM);
  writeFileSync(SYSTEM, `${readFileSync(SYSTEM, 'utf8').trimEnd()}\nalternate_config_directories = ${etc}\n`);
}

function forget(etc: string): void {
  const kept = readFileSync(SYSTEM, 'utf8')
    .split('\n')
    .filter((line) => line !== `alternate_config_directories = ${etc}`);
  writeFileSync(SYSTEM, kept.join('\n'));
}

function mainCf(home: string, sinkPort: number): string {
  return `compatibility_level = 3.6
config_directory = ${home}/etc
queue_directory = ${home}/queue
data_directory = ${home}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = ${home}/log/maillog
maillog_file_prefixes = ${home}/log, /var, /dev/stdout
myhostname = bench.localhost
mydestination =
local_recipient_maps =
local_transport = error:5.1.1 no local delivery
alias_maps =
alias_database =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:${sinkPort}
smtp_host_lookup = native
smtp_tls_security_level = none
smtpd_tls_security_level = none
biff = no
`;
}

function masterCf(port: number): string {
  return `127.0.0.1:${port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
postlog unix-dgram n - n - 1 postlogd
`;
}
