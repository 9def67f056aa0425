import { createHash } from 'node:crypto';
import net from 'node:net';

/** What became of one message at the next hop: which test message, for whom, with which bytes. */
export interface Taken {
  name: string;
  /** Of the bytes below the marks that Postern puts on top as they leave. */
  digest: string;
  /** Postern's id, as its Received field gives it. */
  id: string;
  recipients: string[];
}

const MARKS = /^(?:X-(?:MultiMail-\w+|AI-Generated):.*\r\n(?:[ \t].*\r\n)*)+/;

/** What the sink does at a point of a transaction: go on, wait until released, say a code, or hang up. */
export type Play = 'go' | 'drop' | `${number} ${string}` | Promise<unknown>;

export interface Sink {
  readonly port: number;
  /** Everything for which the sink said 250 after the final dot, or would have. */
  readonly taken: Taken[];
  /** Called at MAIL, at the first body bytes and at the final dot; the name is known from the first body bytes on. */
  play: (point: 'mail' | 'data' | 'dot', name: string) => Play;
  close(): Promise<void>;
}

/**
 * A next hop that remembers. It is the oracle of the chaos tests: what it took was delivered, whatever
 * became of its reply. A message is named by its X-Test-Name field.
 */
export async function startSink(): Promise<Sink> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => {});
    converse(socket, sink);
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const sink: Sink = {
    port: (server.address() as net.AddressInfo).port,
    taken: [],
    play: () => 'go',
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => server.close(closed));
    },
  };
  return sink;
}

function converse(socket: net.Socket, sink: Sink): void {
  let rest = '';
  let recipients: string[] = [];
  let inData = false;
  let asked = false;
  let work = Promise.resolve();
  socket.write('220 sink ESMTP\r\n');
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1');
    work = work.then(digest);
  });

  async function digest(): Promise<void> {
    for (;;) {
      if (inData && !(await body())) return;
      const end = rest.indexOf('\r\n');
      if (inData || end < 0) return;
      const line = rest.slice(0, end);
      rest = rest.slice(end + 2);
      await command(line);
    }
  }

  /** True when the message was whole. */
  async function body(): Promise<boolean> {
    if (!asked && rest.length > 0) {
      asked = true;
      if (!(await play('data', nameIn(rest)))) return false;
    }
    const dot = rest.startsWith('.\r\n') ? 0 : rest.indexOf('\r\n.\r\n') + 2;
    if (dot < 2 && !rest.startsWith('.\r\n')) return false;
    const content = rest.slice(0, dot).replace(/^\.\./gm, '.');
    rest = rest.slice(dot + 3);
    inData = false;
    await dotted(content);
    return true;
  }

  async function dotted(content: string): Promise<void> {
    const name = nameIn(content);
    const one: Taken = {
      name,
      id: /\bid ([0-9A-HJKMNP-TV-Z]{26})\b/.exec(content)?.[1] ?? '',
      recipients,
      digest: createHash('sha256').update(content.replace(MARKS, ''), 'latin1').digest('hex'),
    };
    recipients = [];
    const answer = sink.play('dot', name);
    if (typeof answer === 'string' && answer !== 'go' && answer !== 'drop') {
      socket.write(`${answer}\r\n`);
      return;
    }
    sink.taken.push(one);
    if (answer === 'drop') socket.destroy();
    else {
      await answer;
      socket.write('250 2.0.0 taken\r\n');
    }
  }

  async function play(point: 'mail' | 'data', name: string): Promise<boolean> {
    const answer = sink.play(point, name);
    if (answer === 'drop') {
      socket.destroy();
      return false;
    }
    if (typeof answer === 'string' && answer !== 'go') {
      socket.write(`${answer}\r\n`);
      return false;
    }
    await answer;
    return true;
  }

  async function command(line: string): Promise<void> {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === 'EHLO') socket.write('250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n');
    else if (verb === 'MAIL') {
      recipients = [];
      if (await play('mail', '')) socket.write('250 2.1.0 ok\r\n');
    } else if (verb === 'RCPT') {
      recipients.push(/<([^>]*)>/.exec(line)?.[1] ?? '');
      socket.write('250 2.1.5 ok\r\n');
    } else if (verb === 'DATA') {
      if (recipients.length === 0) socket.write('503 5.5.1 no recipients\r\n');
      else {
        inData = true;
        asked = false;
        socket.write('354 go\r\n');
      }
    } else if (verb === 'QUIT') socket.end('221 2.0.0 bye\r\n');
    else socket.write('250 2.0.0 ok\r\n');
  }
}

function nameIn(content: string): string {
  return /^X-Test-Name: (\S+)/m.exec(content)?.[1] ?? '';
}
