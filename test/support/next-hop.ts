/**
 * A next hop that plays a script and remembers what it took.
 *
 *   startNextHop({ dot: ['451 4.3.0 later', '250 ok'] })      451 at the first final dot, then 250
 *   startNextHop({ rcpt: (address) => address.startsWith('b@') ? '550 5.1.1 no' : '250 ok' })
 *
 * A line of the script is a list of answers, one for each time that it is asked (over all connections); the last
 * one is repeated. An answer is said as it stands, with CRLF.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

export type Answer =
  | string
  /** Says it late. */
  | { after: number; say: string }
  /** Bytes as they are, without a line end of ours. */
  | { raw: string }
  /** Closes the connection, at once or after the words. */
  | { drop: true; say?: string }
  /** Never answers. */
  | { silence: true };
type Line = Answer | Answer[] | ((argument: string) => Answer);

export interface Script {
  greeting?: Line;
  /** Said instead of the usual reply to EHLO, where it is not `''`. */
  ehlo?: Line;
  quit?: Line;
  /** Keywords of the EHLO reply beside STARTTLS and AUTH. */
  extensions?: string[];
  starttls?: { key: string; cert: string; inject?: string };
  /** TLS from the first byte. */
  implicit?: boolean;
  auth?: { user: string; password: string; offered?: 'always' | 'before-tls' | 'never'; refuse?: string };
  mail?: Line;
  rcpt?: Line;
  data?: Line;
  dot?: Line;
  rset?: Line;
}

export interface Taken {
  recipients: string[];
  reversePath: string;
  /** Parameters of MAIL FROM. */
  parameters: string;
  bytes: Buffer;
  digest: string;
  connection: number;
  tls: boolean;
}

export interface NextHop {
  readonly port: number;
  /** What it took responsibility for, or would have before the connection broke. */
  readonly taken: Taken[];
  /** Every command heard, over all connections. */
  readonly heard: string[];
  readonly connections: number;
  readonly open: number;
  script: Script;
  close(): Promise<void>;
}

export async function startNextHop(script: Script = {}, port = 0): Promise<NextHop> {
  const server = createServer();
  const sockets = new Set<Socket>();
  const asked = new Map<string, number>();
  const hop = {
    script,
    taken: [] as Taken[],
    heard: [] as string[],
    connections: 0,
    get port() {
      return (server.address() as { port: number }).port;
    },
    get open() {
      return sockets.size;
    },
    answer(line: keyof Script, argument: string, usual: Answer): Answer {
      const set = hop.script[line] as Line | undefined;
      if (set === undefined) return usual;
      if (typeof set === 'function') return set(argument);
      if (!Array.isArray(set)) return set;
      const time = asked.get(line) ?? 0;
      asked.set(line, time + 1);
      return set[Math.min(time, set.length - 1)]!;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await closed(server);
    },
  };
  server.on('connection', (socket) => {
    hop.connections += 1;
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => {});
    new Visit(hop, socket, hop.connections).begin();
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return hop;
}

type Hop = Omit<NextHop, 'connections'> & {
  connections: number;
  answer(line: keyof Script, argument: string, usual: Answer): Answer;
};

/** One connection. */
class Visit {
  readonly #hop: Hop;
  readonly #number: number;
  #socket: Socket;
  #text = '';
  #inData = false;
  #secure = false;
  #from = '';
  #parameters = '';
  #to: string[] = [];
  #silent = false;
  #login: string[] | undefined;

  constructor(hop: Hop, socket: Socket, number: number) {
    this.#hop = hop;
    this.#socket = socket;
    this.#number = number;
  }

  begin(): void {
    const { starttls, implicit } = this.#hop.script;
    if (implicit && starttls) this.#upgrade(starttls);
    this.#listen();
    this.#say(this.#hop.answer('greeting', '', '220 hop.example ESMTP'));
  }

  #listen(): void {
    this.#socket.on('error', () => {});
    this.#socket.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1');
      while (this.#step());
    });
  }

  #upgrade({ key, cert }: { key: string; cert: string }): void {
    this.#socket.removeAllListeners('data');
    this.#socket = new TLSSocket(this.#socket, { isServer: true, key, cert });
    this.#secure = true;
    this.#text = '';
  }

  #step(): boolean {
    if (this.#silent) return false;
    if (this.#inData) return this.#content();
    const end = this.#text.indexOf('\r\n');
    if (end === -1) return false;
    const line = Buffer.from(this.#text.slice(0, end), 'latin1').toString();
    this.#text = this.#text.slice(end + 2);
    this.#hop.heard.push(line);
    this.#command(line);
    return true;
  }

  #command(line: string): void {
    if (this.#login !== undefined) return this.#loginStep(line);
    const verb = line.split(/[ :]/, 1)[0]!.toUpperCase();
    const path = /<([^>]*)>\s*(.*)$/.exec(line);
    const ok = '250 2.0.0 ok';
    if (verb === 'EHLO') return this.#ehlo();
    if (verb === 'STARTTLS' && this.#hop.script.starttls) return this.#startTls(this.#hop.script.starttls);
    if (verb === 'AUTH') return this.#auth(line);
    if (verb === 'MAIL') {
      this.#from = path?.[1] ?? '';
      this.#parameters = path?.[2] ?? '';
      this.#to = [];
      return this.#say(this.#hop.answer('mail', this.#from, ok));
    }
    if (verb === 'RCPT') {
      const answer = this.#hop.answer('rcpt', path?.[1] ?? '', ok);
      if (words(answer).startsWith('2')) this.#to.push(path?.[1] ?? '');
      return this.#say(answer);
    }
    if (verb === 'DATA') {
      const answer = this.#hop.answer(
        'data',
        '',
        this.#to.length > 0 ? '354 go on' : '503 5.5.1 no recipients',
      );
      this.#inData = words(answer).startsWith('354');
      return this.#say(answer);
    }
    if (verb === 'RSET') return this.#say(this.#hop.answer('rset', '', ok));
    if (verb === 'QUIT') return this.#say(this.#hop.answer('quit', '', { drop: true, say: '221 2.0.0 bye' }));
    this.#say('502 5.5.1 what?');
  }

  #ehlo(): void {
    const {
      extensions = ['PIPELINING', '8BITMIME', 'SIZE 10000000', 'SMTPUTF8'],
      starttls,
      auth,
    } = this.#hop.script;
    const offered = auth?.offered ?? 'always';
    const login = auth && (offered === 'always' || (offered === 'before-tls' && !this.#secure));
    const lines = [
      'hop.example',
      ...extensions,
      ...(starttls && !this.#secure ? ['STARTTLS'] : []),
      ...(login ? ['AUTH PLAIN LOGIN'] : []),
    ];
    const said = this.#hop.answer('ehlo', '', '');
    if (said !== '') return this.#say(said);
    this.#say(lines.map((line, i) => `250${i === lines.length - 1 ? ' ' : '-'}${line}`).join('\r\n'));
  }

  #startTls(starttls: { key: string; cert: string; inject?: string }): void {
    this.#socket.write(`220 2.0.0 go\r\n${starttls.inject ?? ''}`);
    this.#upgrade(starttls);
    this.#listen();
  }

  #auth(line: string): void {
    const [, mechanism, initial] = line.split(' ');
    if (mechanism === 'PLAIN' && initial !== undefined) {
      const [, user, password] = Buffer.from(initial, 'base64').toString().split('\0');
      return this.#judge(user!, password!);
    }
    this.#login = [];
    this.#say('334 VXNlcm5hbWU6');
  }

  #loginStep(line: string): void {
    this.#login!.push(Buffer.from(line, 'base64').toString());
    if (this.#login!.length === 1) return this.#say('334 UGFzc3dvcmQ6');
    const [user, password] = this.#login!;
    this.#login = undefined;
    this.#judge(user!, password!);
  }

  #judge(user: string, password: string): void {
    const { auth } = this.#hop.script;
    const good = auth?.user === user && auth.password === password && auth.refuse === undefined;
    this.#say(good ? '235 2.7.0 welcome' : (auth?.refuse ?? '535 5.7.8 bad credentials'));
  }

  #content(): boolean {
    const end = this.#text.startsWith('.\r\n') ? 0 : this.#text.indexOf('\r\n.\r\n') + 2;
    if (end === 1) return false;
    const unstuffed = this.#text.slice(0, end).replace(/(^|\r\n)\./g, '$1');
    this.#text = this.#text.slice(end + 3);
    this.#inData = false;
    const answer = this.#hop.answer('dot', this.#to.join(), '250 2.0.0 taken');
    const refused = /^[45]/.test(words(answer));
    if (!refused) this.#take(Buffer.from(unstuffed, 'latin1'));
    this.#say(answer);
    return true;
  }

  #take(bytes: Buffer): void {
    this.#hop.taken.push({
      recipients: this.#to,
      reversePath: this.#from,
      parameters: this.#parameters,
      bytes,
      digest: createHash('sha256').update(bytes).digest('hex'),
      connection: this.#number,
      tls: this.#secure,
    });
  }

  #say(answer: Answer): void {
    if (typeof answer === 'string') this.#socket.write(`${answer}\r\n`);
    else if ('raw' in answer) this.#socket.write(answer.raw);
    else if ('after' in answer)
      setTimeout(() => this.#socket.write(`${answer.say}\r\n`), answer.after).unref();
    else if ('drop' in answer) this.#socket.end(answer.say === undefined ? '' : `${answer.say}\r\n`);
    else this.#silent = true;
    // An answer that closes the connection without a word must not leave room for another one.
    if (typeof answer === 'object' && 'drop' in answer) this.#silent = true;
  }
}

/** What an answer says in the end. */
function words(answer: Answer): string {
  if (typeof answer === 'string') return answer;
  return 'say' in answer ? (answer.say ?? '') : '';
}

function closed(server: Server): Promise<void> {
  return new Promise((done) => server.close(() => done()));
}
