/** Which addresses of hosts are out on the internet, and so may be spoken to when a caller names them. */
import { isIP, isIPv6 } from 'node:net';
import { blockListOf } from './config-kinds.ts';

// IANA special-purpose registries (RFC 6890 and its updates), multicast, and the relays of IPv4 inside IPv6.
const NOT_PUBLIC = blockListOf([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/3',
]);
// All of the internet that speaks IPv6 is in 2000::/3; what is not for hosts in there is listed.
const GLOBAL_V6 = blockListOf(['2000::/3']);
const NOT_PUBLIC_V6 = blockListOf([
  '2001::/23',
  '2001:db8::/32',
  '2002::/16',
  '2620:4f:8000::/48',
  '3fff::/20',
]);

/** Whether an IP address is a host's on the internet: not private, loopback, link-local, metadata or reserved. */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 0 || address.includes('%')) return false;
  if (!isIPv6(address)) return !NOT_PUBLIC.check(address, 'ipv4');
  return GLOBAL_V6.check(address, 'ipv6') && !NOT_PUBLIC_V6.check(address, 'ipv6');
}

/** Names that never lead to a host on the internet (RFC 6761, RFC 8375, RFC 9476), or lead to a cloud's metadata. */
const NOT_PUBLIC_NAMES =
  /(^|\.)(localhost|local|internal|intranet|lan|home|corp|private|home\.arpa|onion|alt)$/i;

export function isPublicName(name: string): boolean {
  return name.includes('.') && !NOT_PUBLIC_NAMES.test(name.replace(/\.$/, ''));
}
