/**
 * One open session with a next hop, and the transactions on it.
 *
 *   MAIL ─▶ RCPT … ─▶ DATA ─▶ 354 ─▶ bytes ─▶ final dot ─▶ reply
 *   └────── one write, where PIPELINING ──┘   └ one write ┘
 *
 * nodemailer opens the session, secures it and logs in (smtp-open.ts). The transaction is ours, because three
 * things are asked here that it does not tell: on which side of the final dot a connection broke, whether
 * what came was a reply at all, and how long each answer may take (RFC 5321 §4.5.3.2).
 */
import type { Socket } from 'node:net';
import { finalDot, loads, stuffed } from './smtp-body.ts';
import { type RawReply, ReplyReader } from './smtp-replies.ts';
import type { Timeouts } from './timeouts.ts';
import type { Parcel } from './transport.ts';

/** What the next hop said it can do, after TLS and login. */
export interface Extensions {
  pipelining: boolean;
  eightBitMime: boolean;
  smtputf8: boolean;
  /** The largest message it takes; 0 when it names none, undefined when it has no SIZE. */
  size: number | undefined;
}

/** What was said in one transaction; null where no reply came. */
export interface Transaction {
  mail: RawReply | null;
  /** In the order of the parcel's recipients. */
  recipients: (RawReply | null)[];
  data: RawReply | null;
  final: RawReply | null;
  /** From the moment the final dot may have left. */
  dotSent: boolean;
  /** Why the session ended within the transaction. */
  broken: string | null;
}

const SMALL = 256 * 1024;

export class Session {
  readonly opened = performance.now();
  readonly peer: string;
  extensions: Extensions = { pipelining: false, eightBitMime: false, smtputf8: false, size: undefined };
  transactions = 0;
  idleSince = performance.now();
  readonly #socket: Socket;
  readonly #timeouts: Timeouts;
  readonly #reader = new ReplyReader();
  #replies: RawReply[] = [];
  #awaiting: ((reply: RawReply | null) => void) | undefined;
  #deadline = Number.POSITIVE_INFINITY;
  #broken: string | null = null;
  #onEnd: () => void = () => {};

  constructor(socket: Socket, peer: string, timeouts: Timeouts) {
    this.#socket = socket;
    this.peer = peer;
    this.#timeouts = timeouts;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (err) => this.#break(`the connection broke: ${err.message}`));
    socket.on('end', () => this.#break('the next hop closed the connection'));
    socket.on('close', () => this.#break('the connection was closed'));
    socket.resume();
  }

  get alive(): boolean {
    return this.#broken === null;
  }

  /** Called once when the session ends by itself. */
  onEnd(ended: () => void): void {
    this.#onEnd = ended;
  }

  /** Looks at the clock for whoever waits for a reply; the pool calls it for all sessions by one timer. */
  checkDeadline(now: number): void {
    if (now > this.#deadline) this.#break('the next hop did not answer in time');
  }

  /** Asks once more what the next hop can do: what was said before TLS counts for nothing (RFC 3207 §4.2). */
  async hello(hostname: string): Promise<RawReply | null> {
    const reply = await this.#askAlone(`EHLO ${hostname}\r\n`, this.#timeouts.command);
    if (reply !== null && reply.code >= 200 && reply.code < 300) this.extensions = extensionsOf(reply.raw);
    return reply;
  }

  /** One transaction. Never rejects; afterwards the session is ready for the next one or no longer `alive`. */
  async transact(parcel: Parcel, parameters: string): Promise<Transaction> {
    const { mayGo, recipients } = parcel;
    const said: Transaction = {
      mail: null,
      recipients: recipients.map(() => null),
      data: null,
      final: null,
      dotSent: false,
      broken: null,
    };
    this.transactions += 1;
    if (this.#ready(mayGo) && (await this.#envelope(parcel, parameters, said))) {
      await this.#content(parcel, said);
    }
    said.broken = this.#broken;
    this.idleSince = performance.now();
    this.#deadline = Number.POSITIVE_INFINITY;
    return said;
  }

  #ready(mayGo: () => boolean): boolean {
    if (this.#replies.length > 0 || !this.#reader.idle) {
      // Out of step: what lies here would be taken for the answer to the next command.
      this.#replies = [];
      this.#break('the next hop talked without being asked');
    } else if (!mayGo()) this.#break('this process lost its claim on the message');
    return this.alive;
  }

  /** True when the next hop waits for the content. */
  async #envelope(
    { reversePath, recipients }: Parcel,
    parameters: string,
    said: Transaction,
  ): Promise<boolean> {
    const { command, dataCommand } = this.#timeouts;
    const mail = `MAIL FROM:<${reversePath}>${parameters}\r\n`;
    const rcpt = recipients.map(({ address }) => `RCPT TO:<${address}>\r\n`);
    const piped = this.extensions.pipelining;
    if (piped) this.#socket.write(`${mail}${rcpt.join('')}DATA\r\n`);

    said.mail = await (piped ? this.#reply(command) : this.#ask(mail, command));
    if (!piped && !isYes(said.mail)) return this.#reset();
    for (const [i, line] of rcpt.entries()) {
      said.recipients[i] = await (piped ? this.#reply(command) : this.#ask(line, command));
      if (said.recipients[i] === null) return false;
    }
    const someone = isYes(said.mail) && said.recipients.some(isYes);
    if (!piped && !someone) return this.#reset();
    said.data = await (piped ? this.#reply(dataCommand) : this.#ask('DATA\r\n', dataCommand));
    if (said.data === null) return false;
    if (said.data.code === 354) {
      if (someone) return true;
      // It wants content for nobody. An empty message would be one more thing that may go wrong.
      this.#break('the next hop asked for content after it refused every recipient');
      return false;
    }
    if (said.data.code < 400) this.#break('the next hop answered DATA with neither yes nor no');
    return this.#reset();
  }

  async #content({ marks, bytes, mayGo }: Parcel, said: Transaction): Promise<void> {
    const { dataBlock, finalReply } = this.#timeouts;
    const pieces = marks.length > 0 ? [marks, ...stuffed(bytes)] : stuffed(bytes);
    if (bytes.length > SMALL) {
      for (const load of loads(pieces, SMALL)) if (!(await this.#written(load, dataBlock))) return;
      pieces.length = 0;
    }
    // The last moment to turn back: whoever declared this process dead may have settled the message otherwise.
    if (!mayGo()) return this.#break('this process lost its claim on the message');
    if (this.#replies.length > 0) return this.#break('the next hop answered before it had the message');
    if (!this.alive) return;
    said.dotSent = true;
    this.#writeAll([...pieces, finalDot(bytes)]);
    said.final = await this.#reply(finalReply);
    // No answer to a final dot is of this kind; who gives one is out of step.
    if (said.final !== null && said.final.code < 400 && !isYes(said.final)) {
      said.final = null;
      this.#break('the next hop answered the final dot with neither yes nor no');
    }
  }

  /** Ends what the next hop may have open, so that the session can carry another message. */
  async #reset(): Promise<false> {
    if (this.alive) {
      const reply = await this.#ask('RSET\r\n', this.#timeouts.command);
      if (reply !== null && !isYes(reply)) this.#break('the next hop refused RSET');
    }
    return false;
  }

  /** RFC 5321 §4.1.1.10, without waiting for long. */
  async quit(): Promise<void> {
    this.#onEnd = () => {};
    if (this.alive) await this.#askAlone('QUIT\r\n', this.#timeouts.quit);
    this.#break('closed');
  }

  /** Ends the session at once. */
  destroy(reason: string): void {
    this.#break(reason);
  }

  #ask(command: string, ms: number): Promise<RawReply | null> {
    if (this.alive) this.#socket.write(command);
    return this.#reply(ms);
  }

  /** With a timer of its own: the pool looks at the clock only for sessions that it holds, not before and not after. */
  async #askAlone(command: string, ms: number): Promise<RawReply | null> {
    const timer = setTimeout(() => this.#break('the next hop did not answer in time'), ms);
    const reply = await this.#ask(command, ms);
    clearTimeout(timer);
    return reply;
  }

  #writeAll(pieces: readonly Buffer[]): boolean {
    this.#socket.cork();
    let more = true;
    for (const piece of pieces) more = this.#socket.write(piece);
    this.#socket.uncork();
    return more;
  }

  /** Writes and waits until the socket takes more; false when it broke or took too long. */
  async #written(pieces: Buffer[], ms: number): Promise<boolean> {
    if (!this.alive) return false;
    if (this.#writeAll(pieces)) return true;
    this.#deadline = performance.now() + ms;
    await new Promise<void>((done) => {
      const settled = () => {
        this.#socket.off('drain', settled).off('close', settled);
        done();
      };
      this.#socket.on('drain', settled).on('close', settled);
    });
    this.#deadline = Number.POSITIVE_INFINITY;
    return this.alive;
  }

  /** The next reply, or null when the session ended first. 421 is a reply and an end (RFC 5321 §3.8). */
  #reply(ms: number): Promise<RawReply | null> {
    const ready = this.#replies.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    if (!this.alive) return Promise.resolve(null);
    this.#deadline = performance.now() + ms;
    return new Promise((resolve) => {
      this.#awaiting = resolve;
    });
  }

  #read(chunk: Buffer): void {
    if (!this.alive) return;
    let replies: RawReply[];
    try {
      replies = this.#reader.push(chunk);
    } catch (err) {
      return this.#break((err as Error).message);
    }
    for (const reply of replies) {
      if (this.#awaiting !== undefined) {
        const resolve = this.#awaiting;
        this.#awaiting = undefined;
        resolve(reply);
      } else this.#replies.push(reply);
      if (reply.code === 421) return this.#break('the next hop said 421 and closes');
    }
    if (this.#replies.length > 1024) this.#break('the next hop talks without being asked');
  }

  #break(reason: string): void {
    if (this.#broken !== null) return;
    this.#broken = reason;
    this.#deadline = Number.POSITIVE_INFINITY;
    this.#socket.destroy();
    this.#awaiting?.(null);
    this.#awaiting = undefined;
    this.#onEnd();
  }
}

export function isYes(reply: RawReply | null): boolean {
  return reply !== null && reply.code >= 200 && reply.code < 300;
}

function extensionsOf(raw: string): Extensions {
  const keywords = new Map(
    raw
      .toUpperCase()
      .split('\r\n')
      .slice(1)
      .map((line) => line.slice(4).trim().split(/\s+/))
      .map(([keyword = '', argument = '']) => [keyword, argument]),
  );
  return {
    pipelining: keywords.has('PIPELINING'),
    eightBitMime: keywords.has('8BITMIME'),
    smtputf8: keywords.has('SMTPUTF8'),
    size: keywords.has('SIZE') ? Number(keywords.get('SIZE')) || 0 : undefined,
  };
}
