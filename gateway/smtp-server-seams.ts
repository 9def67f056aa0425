/**
 * Where Postern and smtp-server meet. smtp-server accepts the sockets, speaks TLS (implicit and STARTTLS),
 * runs the SASL exchange, keeps the idle time and closes connections properly. What it would decide or say on
 * its own is decided and said by our session instead, because
 *
 *   - every reply has one owner (core/mail/reply.ts), with its enhanced status code;
 *   - it waits 100 ms before each greeting, which we do only where strangers knock (`greetingDelayMs`);
 *   - it strips source routes, decodes IDNs and refuses quoted local parts before an application sees them;
 *   - its limits (10 unknown commands, 10 commands before a login) are fixed, ours are settings;
 *   - it lets commands run that were sent before the reply they had to wait for.
 *
 * Everything that leans on its inside is in this file and in intake.ts, and follows version 3.21.6 exactly.
 */
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { SMTPServer, type SMTPServerOptions, type SMTPServerSession } from 'smtp-server';
import { SMTPConnection, type SMTPConnectionOptions } from 'smtp-server/lib/smtp-connection.js';
import { format, REFUSALS, type Reply } from '../core/mail/reply.ts';
import { Intake, type Sink } from './intake.ts';

/** What a session asks of its connection. */
export interface Wire {
  readonly clientAddress: string;
  readonly secure: boolean;
  tls(): { version: string; cipher: string } | undefined;
  say(reply: Reply): void;
  /** A reply of several lines, or one without an enhanced code. */
  sayLines(code: number, lines: readonly string[]): void;
  hangUp(reply?: Reply): void;
  startTls(next: () => void): void;
  /** Runs the exchange of an AUTH line; the credentials come to `Guest.login`. */
  exchange(line: Buffer, next: () => void): void;
  receive(sink: Sink): void;
  readonly hasMore: boolean;
}

/** What a connection tells its session. */
export interface Guest {
  /** A refusal instead of the greeting. */
  greet(): Reply | undefined;
  command(line: Buffer, next: () => void): void;
  login(username: string, password: string): Promise<Reply | undefined>;
  /** The SASL exchange broke off before there were credentials. */
  loginBroke(): Reply;
  secured(): void;
  idle(): void;
  overlong(): void;
  strange(): void;
  closed(): void;
}

export interface ServerSettings {
  name: string;
  options: SMTPServerOptions;
  greetingDelayMs: number;
  longestLine: number;
  handshakeSeconds: number;
  admit: (wire: Wire) => Guest;
  /** A refusal when the address has too many sessions; else what to call when its socket has closed. */
  enter: (address: string) => Reply | (() => void);
  onError: (err: Error) => void;
}

export class Server extends SMTPServer {
  readonly settings: ServerSettings;
  readonly guests: WeakMap<SMTPServerSession, Guest> = new WeakMap();
  /** What to call when a socket that was let in has gone; more than once does no harm. */
  readonly leaves: WeakMap<Socket, () => void> = new WeakMap();

  constructor(settings: ServerSettings) {
    super({
      ...settings.options,
      name: settings.name,
      logger: false, // its debug log would hold passwords
      authOptional: true,
      allowInsecureAuth: true, // our session asks for TLS itself
      authMethods: ['PLAIN', 'LOGIN'],
      disableReverseLookup: true,
      hideENHANCEDSTATUSCODES: true, // it would put its own code before ours
    });
    this.settings = settings;
    this.on('error', settings.onError);
  }

  override connect(socket: Socket | TLSSocket, options?: SMTPConnectionOptions | null): void {
    const connection = new Connection(this, socket, options);
    this.connections.add(connection);
    connection.on('error', this.settings.onError);
    connection.init();
  }

  override _acceptSocket(socket: Socket, handshake: boolean): (() => void) | false {
    const entered = this.settings.enter(socket.remoteAddress ?? '');
    if (typeof entered !== 'function') {
      socket.on('error', () => {});
      // Before a handshake nothing can be said.
      if (!handshake) socket.write(`${format(entered)}\r\n`);
      socket.destroySoon();
      return false;
    }
    const leave = once(entered);
    this.leaves.set(socket, leave);
    socket.once('close', leave);
    const release = super._acceptSocket(socket, handshake);
    if (!handshake || release === false) return release;
    // The topmost socket: a TLS socket must not lose the one beneath it in the middle of a handshake.
    const late = () => (this._pendingSockets.get(socket) ?? socket).destroy();
    const hurry = setTimeout(late, this.settings.handshakeSeconds * 1000);
    socket.once('close', () => clearTimeout(hurry));
    return () => {
      clearTimeout(hurry);
      release();
    };
  }

  override onAuth: SMTPServer['onAuth'] = (auth, session, callback) => {
    const { username = '', password = '' } = auth as { username?: string; password?: string };
    const guest = this.guests.get(session)!;
    guest.login(username, password).then(
      (refusal) => (refusal === undefined ? callback(null, { user: username }) : callback(asError(refusal))),
      () => callback(asError(REFUSALS.authUnavailable)),
    );
  };

  override onSecure: SMTPServer['onSecure'] = (_socket, session, callback) => {
    this.guests.get(session)?.secured();
    callback();
  };
}

export class Connection extends SMTPConnection implements Wire {
  readonly guest: Guest;
  readonly #settings: ServerSettings;
  readonly #leave: (() => void) | undefined;
  #hurry: NodeJS.Timeout | undefined;
  #handshaking: Socket | undefined;
  #receiving = false;

  constructor(server: Server, socket: Socket | TLSSocket, options?: SMTPConnectionOptions | null) {
    super(server, socket, options);
    this.#settings = server.settings;
    this.#leave = server.leaves.get(socket);
    this.guest = server.settings.admit(this);
    server.guests.set(this.session, this.guest);
  }

  get clientAddress(): string {
    return this.remoteAddress;
  }

  get hasMore(): boolean {
    return this._parser instanceof Intake && this._parser.hasMore;
  }

  /** Nothing under way: it may be closed without breaking off an answer. */
  get isWaiting(): boolean {
    return !this._handlerPending && !this.#receiving;
  }

  tls(): { version: string; cipher: string } | undefined {
    if (!this.secure || !('getProtocol' in this._socket)) return undefined;
    return { version: this._socket.getProtocol() ?? 'TLS', cipher: this._socket.getCipher()?.name ?? '' };
  }

  say(reply: Reply): void {
    this.#write(`${format(reply)}\r\n`);
  }

  sayLines(code: number, lines: readonly string[]): void {
    const last = lines.length - 1;
    this.#write(lines.map((line, i) => `${code}${i < last ? '-' : ' '}${line}\r\n`).join(''));
  }

  hangUp(reply?: Reply): void {
    if (reply !== undefined && !this._closing) this.say(reply);
    this.close();
  }

  /** Without a word. */
  drop(): void {
    (this.#handshaking ?? this._socket).destroy();
  }

  startTls(next: () => void): void {
    super.handler_STARTTLS(Buffer.from('STARTTLS'), next);
  }

  exchange(line: Buffer, next: () => void): void {
    super.handler_AUTH(line, next);
  }

  receive(sink: Sink): void {
    if (!(this._parser instanceof Intake)) return;
    this.#receiving = true;
    this._parser.receive({
      content: (chunk) => sink.content(chunk),
      end: (resume) => {
        this._handlerPending = true;
        sink.end(() => {
          this.#receiving = false;
          this._handlerPending = false;
          this._whenWritable(resume);
        });
      },
    });
  }

  override init(): void {
    this._setListeners(() => {
      const { greetingDelayMs } = this.#settings;
      if (greetingDelayMs === 0) this.connectionReady();
      else setTimeout(() => this.connectionReady(), greetingDelayMs).unref();
    });
  }

  override connectionReady(): void {
    if (this._closing || this._closed) return;
    this._resetSession();
    const refusal = this.guest.greet();
    if (refusal !== undefined) return this.hangUp(refusal);
    this._ready = true;
    this.sayLines(220, [`${this.name} ESMTP Postern`]);
  }

  override _createParser(): Intake {
    const parser = new Intake((this._server as Server).settings.longestLine);
    parser.oncommand = (line, next) => this._onCommand(line, next);
    parser.onoverlong = () => this.guest.overlong();
    parser.onstrange = () => this.guest.strange();
    parser.on('error', () => this.close());
    return parser;
  }

  override _onCommand(line: Buffer, next: () => void = () => {}): void {
    // What came behind STARTTLS in clear is forgotten, without a reply (RFC 3207 §4.2).
    if (this._upgrading) return next();
    if (!this._ready) return this.hangUp(REFUSALS.spokeTooEarly);
    this._handlerPending = true;
    const done = () => {
      this._handlerPending = false;
      this._whenWritable(next);
    };
    const exchange = this._nextHandler;
    if (exchange === false) return this.guest.command(line, done);
    this._nextHandler = false;
    exchange.call(this, line, done);
  }

  /** Only what smtp-server still says by itself comes here: STARTTLS' 220, and the SASL exchange. */
  override send(code: number, data?: string | string[] | null): void {
    if (code === 220) this.say({ code, enhanced: '2.0.0', text: 'Ready to start TLS' });
    else if (code === 235) this.say({ code, enhanced: '2.7.0', text: 'Authentication successful' });
    else if (code === 501) return this.#broken(this.guest.loginBroke());
    else this.#write(`${code} ${String(data ?? '')}\r\n`);
    if (code === 421) this.close();
  }

  #broken(reply: Reply): void {
    this.say(reply);
    if (reply.code === 421) this.close();
  }

  override _onTimeout(): void {
    if (this._closing) return void this._socket.destroy();
    // While we owe the reply, the client is right to be silent (RFC 5321 §4.5.3.2).
    if (this._handlerPending) return this._armTimeout();
    this.guest.idle();
  }

  /** Called with the TLS socket when a handshake begins on ours: it may take less time than a session. */
  override _armTimeout(socket: Socket = this._socket): void {
    super._armTimeout(socket);
    if (socket === this._socket) return;
    this.#handshaking = socket;
    this.#hurry = setTimeout(() => socket.destroy(), this.#settings.handshakeSeconds * 1000);
  }

  override _onClose(): void {
    const first = !this._closed;
    clearTimeout(this.#hurry);
    super._onClose();
    // STARTTLS took all listeners off the first socket, also the one that counts it out.
    this.#leave?.();
    if (first) this.guest.closed();
  }

  override upgrade(callback: () => void, secureCallback?: () => void): void {
    super.upgrade(callback, () => {
      this.#handshaking = undefined;
      clearTimeout(this.#hurry);
      secureCallback?.();
    });
  }

  #write(text: string): void {
    const socket = this._socket;
    // While the handshake runs the socket is the raw one: nothing may be written to it in clear.
    if (!this._upgrading && !socket.destroyed && socket.readyState === 'open') socket.write(text, 'latin1');
  }
}

function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}

function asError(reply: Reply): Error {
  return Object.assign(new Error(`${reply.enhanced} ${reply.text}`), { responseCode: reply.code });
}
