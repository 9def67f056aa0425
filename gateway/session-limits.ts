import { REFUSALS, type Reply } from '../core/mail/reply.ts';
import { clientGroup } from './client-group.ts';

/** Counts open connections over all listeners. Returns a refusal, or what to call when the one let in has ended. */
export function sessionLimits({ sessions, perAddress }: { sessions: number; perAddress: number }) {
  let open = 0;
  const byClient = new Map<string, number>();

  return (address: string): Reply | (() => void) => {
    const client = clientGroup(address);
    const here = byClient.get(client) ?? 0;
    if (open >= sessions || here >= perAddress) return REFUSALS.tooManySessions;
    open += 1;
    byClient.set(client, here + 1);
    return () => {
      open -= 1;
      const left = byClient.get(client)! - 1;
      if (left === 0) byClient.delete(client);
      else byClient.set(client, left);
    };
  };
}
