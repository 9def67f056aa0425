/**
 * How many failed logins are let through in a minute: from one address (a /64 of IPv6, which one person can
 * have alone), for one username, and over all. What exceeds them is not looked at, right or wrong.
 */
import { clientGroup } from './client-group.ts';

export interface LoginLimits {
  /** False when too many have failed. An attempt counts as failed until `succeeded` says otherwise. */
  begin(clientAddress: string, username: string): boolean;
  succeeded(clientAddress: string, username: string): void;
}

const MINUTE_MS = 60_000;
/** One name is tried from many addresses; all names are tried by a network of machines. */
const PER_USERNAME = 5;
const OVER_ALL = 50;
const MOST_KEYS = 100_000;

export function loginLimits(perAddress: number, now: () => number = Date.now): LoginLimits {
  let minute = -1;
  let counts = new Map<string, number>();

  const limits = (clientAddress: string, username: string): [string, number][] => [
    [`address ${clientGroup(clientAddress)}`, perAddress],
    [`username ${username}`, perAddress * PER_USERNAME],
    ['all', perAddress * OVER_ALL],
  ];
  const add = (key: string, change: number) => counts.set(key, Math.max(0, (counts.get(key) ?? 0) + change));

  return {
    begin(clientAddress, username) {
      const current = Math.floor(now() / MINUTE_MS);
      if (current !== minute || counts.size > MOST_KEYS) counts = new Map();
      minute = current;
      const keys = limits(clientAddress, username);
      if (keys.some(([key, limit]) => (counts.get(key) ?? 0) >= limit)) return false;
      for (const [key] of keys) add(key, 1);
      return true;
    },
    succeeded(clientAddress, username) {
      for (const [key] of limits(clientAddress, username)) add(key, -1);
    },
  };
}
