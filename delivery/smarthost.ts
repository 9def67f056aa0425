/** A way out through one next hop. */
import { isAscii } from 'node:buffer';
import { isAsciiText } from '../core/mail/text.ts';
import { Pool } from './pool.ts';
import { CannotOpen, openSession, type Smarthost } from './smtp-open.ts';
import { reportOf } from './smtp-report.ts';
import type { Extensions, Session } from './smtp-session.ts';
import type { Timeouts } from './timeouts.ts';
import { forAll, type Parcel, type Report, sizeOf, type Transport } from './transport.ts';

export interface SmarthostOptions {
  route: Smarthost;
  hostname: string;
  connections: number;
  messagesPerConnection: number;
  timeouts: Timeouts;
}

export function openSmarthost(options: SmarthostOptions): Transport {
  const { route, hostname, timeouts } = options;
  const nextHop = `${route.host}:${route.port}`;
  const pool = new Pool({
    open: () => openSession({ route, hostname, timeouts }),
    size: options.connections,
    messagesPerSession: options.messagesPerConnection,
    tickMs: Math.min(1000, ...Object.values(timeouts).map((ms) => Math.max(5, ms / 4))),
  });
  return {
    capacity: options.connections,
    close: (withinMs) => pool.close(withinMs),
    async send(parcel) {
      try {
        return await sendOn(pool, parcel, nextHop);
      } catch (err) {
        if (!(err instanceof CannotOpen)) throw err;
        const { trouble } = err;
        const enhanced = trouble.kind === 'unreachable' ? '4.4.1' : '4.7.0';
        const recipients = forAll(parcel, 'deferred', { enhanced, text: trouble.reason });
        return { recipients, nextHop, reply: `${enhanced} ${trouble.reason}`, trouble, captureId: null };
      }
    },
  };
}

async function sendOn(pool: Pool, parcel: Parcel, nextHop: string): Promise<Report> {
  const first = await pool.use((session) => transact(session, parcel, nextHop));
  // A kept session may have been closed by the other side while it lay idle. Nothing was said on it yet, so
  // the message may go over a fresh one without anyone getting it twice.
  return first ?? (await pool.use((session) => transact(session, parcel, nextHop))) ?? stale(parcel, nextHop);
}

/** Undefined: a session used before was gone before its first reply. */
async function transact(session: Session, parcel: Parcel, nextHop: string): Promise<Report | undefined> {
  const { extensions } = session;
  const unfit = parcel.recipients.map(({ address }) => unfitness(parcel, address, extensions));
  if (unfit.every((words) => words !== undefined)) return allUnfit(parcel, unfit, nextHop);
  const fit = parcel.recipients.filter((_, i) => unfit[i] === undefined);
  const used = session.transactions > 0;
  const said = await session.transact({ ...parcel, recipients: fit }, parameters(parcel, extensions));
  if (used && said.mail === null && parcel.mayGo()) return undefined;
  const report = reportOf({ recipients: fit }, said, nextHop);
  return fit.length === parcel.recipients.length ? report : merged(parcel, unfit, report);
}

interface Words {
  enhanced: string;
  text: string;
}

/** Why this next hop can never take the message for this recipient. */
function unfitness(parcel: Parcel, address: string, extensions: Extensions): Words | undefined {
  if (!extensions.smtputf8) {
    // RFC 6531 §3.2: never mangled into ASCII.
    if (!isAsciiText(address) || !isAsciiText(parcel.reversePath))
      return { enhanced: '5.6.7', text: 'the next hop cannot take non-ASCII addresses (no SMTPUTF8)' };
    if (parcel.smtputf8)
      return { enhanced: '5.6.7', text: 'the next hop cannot take a non-ASCII header (no SMTPUTF8)' };
  }
  if (!extensions.eightBitMime && !isAscii(parcel.bytes))
    return { enhanced: '5.6.3', text: 'the next hop cannot take 8-bit content (no 8BITMIME)' }; // RFC 6152 §3
  const { size } = extensions;
  if (size !== undefined && size > 0 && sizeOf(parcel) > size)
    return { enhanced: '5.3.4', text: `the message is larger than the ${size} bytes the next hop takes` };
  return undefined;
}

function parameters(parcel: Parcel, { size, eightBitMime, smtputf8 }: Extensions): string {
  const utf8 = smtputf8 && needsUtf8(parcel);
  return [
    size === undefined ? '' : ` SIZE=${sizeOf(parcel)}`,
    eightBitMime && (utf8 || !isAscii(parcel.bytes)) ? ' BODY=8BITMIME' : '',
    utf8 ? ' SMTPUTF8' : '',
  ].join('');
}

function needsUtf8({ smtputf8, reversePath, recipients }: Parcel): boolean {
  return smtputf8 || !isAsciiText(reversePath) || !recipients.every(({ address }) => isAsciiText(address));
}

function allUnfit(parcel: Parcel, unfit: (Words | undefined)[], nextHop: string): Report {
  const recipients = parcel.recipients.map(({ n, address }, i) => failed(n, address, unfit[i]!));
  const { enhanced, text } = unfit[0]!;
  return { recipients, nextHop, reply: `${enhanced} ${text}`, trouble: null, captureId: null };
}

function merged(parcel: Parcel, unfit: (Words | undefined)[], report: Report): Report {
  const told = new Map(report.recipients.map((one) => [one.n, one]));
  const recipients = parcel.recipients.map(
    ({ n, address }, i) => told.get(n) ?? failed(n, address, unfit[i]!),
  );
  return { ...report, recipients };
}

function failed(n: number, address: string, { enhanced, text }: Words): Report['recipients'][number] {
  return { n, address, status: 'failed', code: null, enhanced, text };
}

function stale(parcel: Parcel, nextHop: string): Report {
  const text = 'the next hop closed the connection before it answered';
  const recipients = forAll(parcel, 'deferred', { enhanced: '4.4.2', text });
  return { recipients, nextHop, reply: `4.4.2 ${text}`, trouble: null, captureId: null };
}
