import { SMTPStream } from 'smtp-server/lib/smtp-stream.js';
import { DotDecoder } from '../core/mail/dot-stream.ts';

/**
 * The bytes of one connection, cut into command lines and the contents of DATA.
 *
 *   command lines ──receive()──▶ content, until CRLF.CRLF ──resume()──▶ command lines
 *
 * It stands in for smtp-server's own stream, for three reasons: content ends at CRLF.CRLF and nowhere else
 * however the bytes were cut; a line is bounded before it is complete; and we can see whether the client has
 * sent more than it may (RFC 2920 §3.1).
 */
export interface Sink {
  content(chunk: Buffer): void;
  /** All is here. Commands behind it wait until `resume` is called. */
  end(resume: () => void): void;
}

type Done = (err?: Error | null) => void;
const NOTHING = Buffer.alloc(0);
const LF = 0x0a;
const CR = 0x0d;
const TLS_HANDSHAKE = 0x16;
// A chunk full of commands must not keep all other sessions waiting.
const COMMANDS_IN_A_ROW = 100;

export class Intake extends SMTPStream {
  /** The longest line that is passed on, without its line ending. */
  longestLine: number;
  /** Called once, instead of any further command. */
  onoverlong: () => void = () => {};
  onstrange: () => void = () => {};
  #bytes: Buffer = NOTHING;
  #sink: { sink: Sink; decoder: DotDecoder } | undefined;
  #done: Done | undefined;
  #running = false;
  #again = false;
  #fresh = true;

  constructor(longestLine: number) {
    super();
    this.longestLine = longestLine;
  }

  /** From the next byte on it is content. */
  receive(sink: Sink): void {
    this.#sink = { sink, decoder: new DotDecoder() };
  }

  /** Whether bytes have come behind the line that is being answered. */
  get hasMore(): boolean {
    return this.#bytes.length > 0 || this.writableLength > this.#currentLength;
  }

  #currentLength = 0;

  override _write(chunk: Buffer, _encoding: BufferEncoding | 'buffer', done: Done): void {
    if (this.isClosed) return done();
    if (this.#fresh && chunk[0] === TLS_HANDSHAKE) return this.onstrange();
    this.#fresh = false;
    this.#currentLength = chunk.length;
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    this.#done = done;
    this.#run();
  }

  /** Handlers may go on at once or later: a loop, since recursion would let a client fill the stack. */
  #run(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    let commands = 0;
    do {
      this.#again = false;
      if (commands === COMMANDS_IN_A_ROW) {
        setImmediate(() => this.#run());
        break;
      }
      commands += 1;
      this.#step();
    } while (this.#again);
    this.#running = false;
  }

  #step(): void {
    if (this.isClosed) this.#wantMore();
    else if (this.#sink !== undefined) this.#feed(this.#sink);
    else this.#nextLine();
  }

  #nextLine(): void {
    const lf = this.#bytes.indexOf(LF);
    const end = lf > 0 && this.#bytes[lf - 1] === CR ? lf - 1 : lf;
    if ((lf === -1 ? this.#bytes.length : end) > this.longestLine) {
      this.#bytes = NOTHING;
      return this.onoverlong();
    }
    if (lf === -1) return this.#wantMore();
    const line = this.#bytes.subarray(0, end);
    this.#bytes = this.#bytes.subarray(lf + 1);
    this.oncommand(line, () => this.#run());
  }

  #feed({ sink, decoder }: { sink: Sink; decoder: DotDecoder }): void {
    if (this.#bytes.length === 0) return this.#wantMore();
    const { content, rest } = decoder.push(this.#bytes);
    this.#bytes = rest ?? NOTHING;
    if (content.length > 0) sink.content(content);
    if (rest === undefined) return this.#wantMore();
    this.#sink = undefined;
    sink.end(() => this.#run());
  }

  #wantMore(): void {
    const done = this.#done;
    this.#done = undefined;
    done?.();
  }
}
