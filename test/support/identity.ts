/** A whole house but for the gateway, with mail that went through it, and eyes on the marks it left with. */
import { Buffer } from 'node:buffer';
import type { Room } from '../../core/runtime/runtime.ts';
import { startDelivery } from '../../delivery/main.ts';
import { type Reply, startTestApi, type TestApi } from './api.ts';
import { HASTY } from './delivery.ts';

export interface Marked {
  /** As a next hop would have got it. */
  raw: Buffer;
  /** X-MultiMail-Identity without its folding. */
  token: string;
  // biome-ignore lint/suspicious/noExplicitAny: looked into as JSON
  payload: any;
  fields: Map<string, string>;
}

export interface IdentityHouse extends TestApi {
  delivery: Room;
  /** Every line that was logged. */
  log: string[];
  /** What was captured of a message, once it was. */
  captured(id: string): Promise<Marked>;
  verify(body: object): Promise<Reply>;
}

export async function startIdentityHouse(settings: Record<string, unknown> = {}): Promise<IdentityHouse> {
  const log: string[] = [];
  const api = await startTestApi(settings, { log: { write: (line: string) => void log.push(line) } });
  const delivery = await startDelivery(api.runtime, HASTY);
  const admin = { key: api.keys.admin };
  return {
    ...api,
    delivery,
    log,
    // It may be gone before anyone can see it queued.
    async send(mailbox, fields = {}, key = api.keys.agent) {
      const mail = { to: ['ana@remote.example'], subject: 'Hello', markdown: 'It is done.', ...fields };
      const sent = await api.call('POST', `/v1/mailboxes/${mailbox}/send`, { key, body: mail });
      if (sent.status !== 202) throw new Error(`not sent: ${sent.status} ${sent.text}`);
      return sent.json.id;
    },
    verify: (body) => api.call('POST', '/v1/verify', { body }),
    async captured(id) {
      for (let tries = 0; ; tries++) {
        const { json } = await api.call('GET', `/v1/capture?message_id=${id}`, admin);
        const [one] = json.captures;
        if (one !== undefined) {
          const raw = await fetch(`${api.url}/v1/capture/${one.id}/raw`, {
            headers: { authorization: `Bearer ${api.keys.admin}` },
          });
          return marksOf(Buffer.from(await raw.arrayBuffer()));
        }
        if (tries > 500) throw new Error(`${id} was not captured`);
        await new Promise((go) => setTimeout(go, 20));
      }
    },
    async close() {
      await delivery.close();
      await api.close();
    },
  };
}

/** Reads the marks on its own, as somebody outside would. */
export function marksOf(raw: Buffer): Marked {
  const header = raw.toString('latin1').split('\r\n\r\n')[0]!;
  const fields = new Map<string, string>();
  for (const field of header.replace(/\r\n[ \t]+/g, ' ').split('\r\n')) {
    const colon = field.indexOf(':');
    fields.set(field.slice(0, colon).toLowerCase(), field.slice(colon + 1).trim());
  }
  const token = (fields.get('x-multimail-identity') ?? '').replace(/\s+/g, '');
  const payload =
    token === '' ? undefined : JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString());
  return { raw, token, payload, fields };
}
