/** Mail from the internet for a test of the API: a gateway over the same runtime, and a sender to speak to it. */
import { createTransport } from 'nodemailer';
import type { Runtime } from '../../core/runtime/runtime.ts';
import { startGateway } from '../../gateway/main.ts';

export interface Internet {
  /** Delivers one message over SMTP as a stranger's server would; returns its id once it is committed. */
  deliver(to: string, raw: string | Buffer, from?: string): Promise<string>;
  close(): Promise<void>;
}

/** `\n` in a message is written as CRLF. */
export async function openInternet(runtime: Runtime): Promise<Internet> {
  const gateway = await startGateway(runtime);
  return {
    async deliver(to, raw, from = 'stranger@remote.example') {
      const transport = createTransport({ host: '127.0.0.1', port: gateway.ports.mx!, ignoreTLS: true });
      const bytes = typeof raw === 'string' ? Buffer.from(raw.replace(/\r?\n/g, '\r\n')) : raw;
      const { response } = await transport.sendMail({ envelope: { from, to: [to] }, raw: bytes });
      const id = /\b([0-7][0-9A-HJKMNP-TV-Z]{25})\b/.exec(response)?.[1];
      if (id === undefined) throw new Error(`no id in: ${response}`);
      return id;
    },
    close: () => gateway.close(),
  };
}

/** A small message; further header fields may be given. */
export function letter(fields: Partial<Record<string, string>> = {}, text = 'Good news.'): string {
  const header = {
    From: 'Stranger <stranger@remote.example>',
    To: 'someone@ours.example',
    Subject: 'Hello',
    Date: 'Sat, 21 Nov 2026 10:00:00 +0000',
    'Message-ID': `<${Math.random().toString(36).slice(2)}@remote.example>`,
    ...fields,
  };
  return `${Object.entries(header)
    .map(([name, value]) => `${name}: ${value}`)
    .join('\n')}\n\n${text}\n`;
}
