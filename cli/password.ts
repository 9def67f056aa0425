import { randomBytes } from 'node:crypto';

/** 120 bits, in letters and digits only: nothing a shell or an option parser would take for its own. */
export function newPassword(): string {
  return randomBytes(15).toString('hex');
}
