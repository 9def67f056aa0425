/**
 * A dialogue with an SMTP server, written as its transcript.
 *
 *   S: 220            what comes next must begin so; of a reply of several lines each `S:` line must begin one
 *   C: EHLO x         sent as it stands, with CRLF
 *   C64: PLAIN a b    not a command: `AUTH PLAIN` with the base64 of \0a\0b
 *   raw: a\r\n.\r\n   sent as it stands, with \r \n \0 \t \xHH, and no CRLF of ours
 *   STARTTLS          the handshake, once the server has answered 220
 *   wait: 200         milliseconds
 *   S: closed         the server closes the connection
 *   S: silence        nothing comes for 200 ms
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';

const PATIENCE_MS = 10_000;
const SILENCE_MS = 200;

/** Plays the script and returns every reply line the server gave. Throws at the first line that differs. */
export async function dialogue(
  port: number,
  script: string,
  options: { tls?: boolean; host?: string; localAddress?: string } = {},
): Promise<string[]> {
  const client = await Client.open(port, options);
  try {
    const lines = script.split('\n').map((line) => line.trim());
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i]!;
      if (line === '') continue;
      if (!line.startsWith('S: ')) await client.act(line);
      else {
        const wanted = [line.slice(3)];
        while (lines[i + 1]?.startsWith('S: ') && sameReply(wanted, lines[i + 1]!.slice(3)))
          wanted.push(lines[++i]!.slice(3));
        await client.expect(wanted);
      }
    }
    return client.heard;
  } catch (err) {
    throw new Error(`${(err as Error).message}\n\nso far:\n${client.transcript.join('\n')}`);
  } finally {
    client.end();
  }
}

/** `S: 250-…` lines that follow each other ask about one reply. */
function sameReply(wanted: string[], next: string): boolean {
  return /^\d{3}-/.test(wanted.at(-1)!) && next.slice(0, 3) === wanted[0]!.slice(0, 3);
}

export class Client {
  readonly heard: string[] = [];
  readonly transcript: string[] = [];
  #socket: Socket;
  #text = '';
  #closed = false;
  #wake: () => void = () => {};

  static async open(
    port: number,
    { tls = false, host = '127.0.0.1', localAddress = '127.0.0.1' } = {},
  ): Promise<Client> {
    const to = { port, host, localAddress };
    const socket = tls ? connectTls({ ...to, rejectUnauthorized: false }) : connect(to);
    const client = new Client(socket);
    await once(socket, tls ? 'secureConnect' : 'connect');
    return client;
  }

  constructor(socket: Socket) {
    this.#socket = socket;
    this.#listen(socket);
  }

  #listen(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.#text += chunk.toString('latin1');
      this.#wake();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      if (socket !== this.#socket) return;
      this.#closed = true;
      this.#wake();
    });
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  async act(line: string): Promise<void> {
    this.transcript.push(line.length > 200 ? `${line.slice(0, 200)}…` : line);
    if (line.startsWith('C: ')) this.send(`${line.slice(3)}\r\n`);
    else if (line === 'C:') this.send('\r\n');
    else if (line.startsWith('C64: ')) this.send(`AUTH PLAIN ${plain(line.slice(5).split(' '))}\r\n`);
    else if (line.startsWith('raw: ')) this.send(unescaped(line.slice(5)));
    else if (line.startsWith('wait: ')) await sleep(Number(line.slice(6)));
    else if (line === 'STARTTLS') await this.startTls();
    else throw new Error(`no such line in a dialogue: ${line}`);
  }

  send(text: string | Buffer): void {
    this.#socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
  }

  async startTls(): Promise<void> {
    this.send('STARTTLS\r\n');
    await this.expect(['220']);
    await this.handshake();
  }

  async handshake(): Promise<void> {
    const plainSocket = this.#socket;
    plainSocket.removeAllListeners('data');
    const socket = connectTls({ socket: plainSocket, rejectUnauthorized: false });
    this.#socket = socket;
    this.#listen(socket);
    await once(socket, 'secureConnect');
    this.#text = '';
  }

  /** The next reply, all its lines. */
  async reply(): Promise<string[]> {
    const deadline = Date.now() + PATIENCE_MS;
    for (;;) {
      const whole = /^(?:\d{3}-[^\n]*\r\n)*\d{3}(?: [^\n]*)?\r\n/.exec(this.#text)?.[0];
      if (whole !== undefined) {
        this.#text = this.#text.slice(whole.length);
        const lines = whole.split('\r\n').slice(0, -1);
        this.heard.push(...lines);
        this.transcript.push(...lines.map((line) => `  ${line}`));
        return lines;
      }
      if (this.#closed) throw new Error('the server closed the connection');
      await this.#more(deadline - Date.now(), 'no reply came');
    }
  }

  async expect(wanted: string[]): Promise<void> {
    if (wanted[0] === 'closed') return this.#expectClosed();
    if (wanted[0] === 'silence') return this.#expectSilence();
    const lines = await this.reply().catch((err: Error) => {
      throw new Error(`expected "${wanted.join(' / ')}": ${err.message}`);
    });
    for (const want of wanted) {
      const found = wanted.length > 1 ? lines.some((line) => line.slice(4).startsWith(want.slice(4))) : false;
      if (!found && !lines.at(-1)!.startsWith(want) && !lines.some((line) => line.startsWith(want)))
        throw new Error(`expected "${want}", got "${lines.join(' / ')}"`);
    }
  }

  end(): void {
    this.#socket.destroy();
  }

  async #expectClosed(): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (!this.#closed) await this.#more(deadline - Date.now(), 'the server did not close');
    if (this.#text !== '') throw new Error(`expected the end, got "${this.#text}"`);
  }

  async #expectSilence(): Promise<void> {
    await sleep(SILENCE_MS);
    if (this.#text !== '' || this.#closed) throw new Error(`expected silence, got "${this.#text}"`);
  }

  #more(ms: number, otherwise: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(otherwise)), Math.max(1, ms));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function plain([username = '', password = '']: string[]): string {
  return Buffer.from(`\0${username}\0${password}`).toString('base64');
}

function unescaped(text: string): string {
  return text.replace(/\\(?:x([0-9a-f]{2})|(.))/gi, (_all, hex: string | undefined, char: string) => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    return { r: '\r', n: '\n', t: '\t', '0': '\0' }[char] ?? char;
  });
}
