import net from 'node:net';
import { createInterface } from 'node:readline';
import type { Relay } from './load.ts';
import { pause } from './processes.ts';

export interface Latency {
  relay: string;
  /** Milliseconds from the final dot sent to our 250, and to the whole message at the sink. */
  ackMedian: number;
  totalMedian: number;
  total99: number;
}

/** Single messages, one after the other, each on a connection of its own: what an idle gateway adds. */
export async function latency(relay: Relay, sinkPort: number, count = 200, warm = 30): Promise<Latency> {
  const sink = await startClock(sinkPort);
  const ack: number[] = [];
  const total: number[] = [];
  try {
    for (let i = 0; i < warm + count; i++) {
      const arrival = sink.arrival(i);
      const { sent, acknowledged } = await submit(relay.port, i);
      const arrived = await arrival;
      if (i >= warm) {
        ack.push(acknowledged - sent);
        total.push(arrived - sent);
      }
      await pause(20);
    }
  } finally {
    await sink.close();
  }
  return {
    relay: relay.name,
    ackMedian: quantile(ack, 0.5),
    totalMedian: quantile(total, 0.5),
    total99: quantile(total, 0.99),
  };
}

export function quantile(values: number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** A next hop that takes everything and knows when each message was whole. */
async function startClock(port: number) {
  const waiting = new Map<number, (at: number) => void>();
  const server = net.createServer({ noDelay: true }, (socket) => {
    let inData = false;
    let number = -1;
    socket.on('error', () => {});
    socket.write('220 clock ESMTP\r\n');
    const reader = createInterface(socket);
    reader.on('error', () => {});
    reader.on('line', (line) => {
      if (inData) {
        if (line.startsWith('X-Bench-Id: ')) number = Number(line.slice(12));
        if (line !== '.') return;
        inData = false;
        waiting.get(number)?.(performance.now());
      }
      const verb = line.slice(0, 4).toUpperCase();
      if (verb === 'EHLO')
        socket.write('250-clock\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n');
      else if (verb === 'DATA') {
        inData = true;
        socket.write('354 go\r\n');
      } else if (verb === 'QUIT') socket.end('221 bye\r\n');
      else socket.write('250 ok\r\n');
    });
  });
  await new Promise<void>((listening) => server.listen(port, '127.0.0.1', listening));
  return {
    arrival(id: number): Promise<number> {
      return new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`message ${id} not at the sink within 20 s`)), 20_000);
        waiting.set(id, (at) => {
          clearTimeout(late);
          resolve(at);
        });
      });
    },
    async close() {
      server.close();
      await pause(50);
    },
  };
}

async function submit(port: number, id: number): Promise<{ sent: number; acknowledged: number }> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true });
  socket.on('error', () => {});
  const reader = createInterface(socket);
  reader.on('error', () => {}); // a reset after QUIT is no news
  const lines = reader[Symbol.asyncIterator]();
  const reply = async (code: string) => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done || !value.startsWith(code)) throw new Error(`wanted ${code}, got ${value}`);
      if (value[3] !== '-') return;
    }
  };
  const command = async (line: string, code: string) => {
    socket.write(`${line}\r\n`);
    await reply(code);
  };
  await reply('220');
  await command('EHLO bench.example', '250');
  await command('MAIL FROM:<sender@bench.example>', '250');
  await command('RCPT TO:<rcpt@bench.example>', '250');
  await command('DATA', '354');
  const sent = performance.now();
  socket.write(`${message(id)}\r\n.\r\n`);
  await reply('250');
  const acknowledged = performance.now();
  await command('QUIT', '221');
  socket.destroy();
  return { sent, acknowledged };
}

function message(id: number): string {
  const header = [
    'From: <sender@bench.example>',
    'To: <rcpt@bench.example>',
    `Subject: bench ${id}`,
    'Date: Sat, 21 Nov 2026 00:00:00 +0000',
    `Message-Id: <${id}@bench.example>`,
    `X-Bench-Id: ${id}`,
  ];
  return `${header.join('\r\n')}\r\n\r\n${Array(56).fill('X'.repeat(70)).join('\r\n')}`;
}
