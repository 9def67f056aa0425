import { system } from '../core/mail/actor.ts';
import { contentSha256 } from '../core/mail/digest.ts';
import { composeDsn, type Dsn, type DsnRecipient } from '../core/mail/dsn.ts';
import { newId } from '../core/mail/id.ts';
import { statusOf } from '../core/mail/next-hop.ts';
import type { Runtime } from '../core/runtime/runtime.ts';
import { isTheDatasFault } from '../core/store/batcher.ts';
import { type Debt, type DebtRecipient, type Payment, pay, readDebt } from '../core/store/dsn.ts';
import type { NewContent, NewMessage } from '../core/store/new-message.ts';
import { formOf, ownMessage } from '../core/store/own-message.ts';

export type Destination =
  | { to: 'mailbox'; mailboxId: string; address: string }
  | { to: 'reverse-path'; address: string }
  | { to: 'nobody'; why: string };

type Sender = Pick<
  Debt,
  'kind' | 'source' | 'reversePath' | 'mailboxId' | 'mailboxAddress' | 'localId' | 'localAddress'
>;

/** Where the report goes. Pure. */
export function destinationOf(debt: Sender): Destination {
  if (debt.kind !== 'mail') return { to: 'nobody', why: `a ${debt.kind} is not reported about` };
  if (debt.reversePath === '') return { to: 'nobody', why: 'the reverse-path is null' }; // RFC 5321 §4.5.5
  if (debt.source === 'submission') {
    return { to: 'mailbox', mailboxId: debt.mailboxId, address: debt.mailboxAddress };
  }
  if (debt.source !== 'trusted')
    return { to: 'nobody', why: `mail from ${debt.source} is answered elsewhere` };
  return debt.localId !== null && debt.localAddress !== null
    ? { to: 'mailbox', mailboxId: debt.localId, address: debt.localAddress }
    : { to: 'reverse-path', address: debt.reversePath };
}

/** Pays the debt of one message, once, however many try. */
export async function report(runtime: Runtime, id: string): Promise<void> {
  const { database, metrics, log, bells } = runtime;
  const debt = await readDebt(database.pool, id);
  if (debt === undefined) return;
  const payment = await paid(runtime, debt);
  if (payment === undefined) return;
  const dsn = payment.report?.message;
  metrics.dsn(dsn === undefined ? 'dropped' : debt.owed);
  if (payment.audit?.action === 'oversight.copy_failed') {
    metrics.alarm('oversight_copy', true);
    log.error({ message: id }, 'a copy for the overseer could not be delivered');
  }
  if (dsn === undefined) return;
  log.info({ message: id, dsn: dsn.id, kind: debt.owed, to: dsn.direction }, 'dsn');
  if (dsn.direction === 'outbound') bells.ring('delivery', [dsn.id]);
}

/**
 * The payment that was made, if it was made here. A report that cannot be composed or stored would fail again each
 * time: the debt is then written off, in the audit and in the log, instead of being tried for ever.
 */
async function paid({ database, config, log }: Runtime, debt: Debt): Promise<Payment | undefined> {
  let payment: Payment | undefined;
  try {
    payment = paymentOf(debt, config);
    return (await pay(database.pool, payment)) ? payment : undefined;
  } catch (err) {
    if (payment !== undefined && !isTheDatasFault(err)) throw err;
    log.error({ err, message: debt.id, kind: debt.owed }, 'the report to its sender cannot be made');
    const why = 'the report could not be made';
    const written = { ...baseOf(debt), report: null, audit: discarded(debt, why) };
    return (await pay(database.pool, written)) ? written : undefined;
  }
}

function baseOf(debt: Debt): Pick<Payment, 'id' | 'owed' | 'attempts' | 'reported'> {
  const { id, owed, attempts } = debt;
  const told = owed === 'failed' || owed === 'unknown' ? concernedBy(debt) : [];
  return { id, owed, attempts, reported: told.map(({ n }) => n) };
}

function paymentOf(debt: Debt, config: Runtime['config']): Payment {
  const concerned = concernedBy(debt);
  const base = baseOf(debt);
  const destination = destinationOf(debt);
  if (destination.to === 'nobody') {
    return { ...base, report: null, audit: discarded(debt, destination.why) };
  }
  if (concerned.length === 0) return { ...base, report: null, audit: null };
  const made = compose(debt, concerned, destination, config);
  const metadata = {
    dsn: made.message.id,
    kind: debt.owed,
    recipients: concerned.map(({ address }) => address),
  };
  return { ...base, report: made, audit: { action: 'message.dsn_sent', metadata } };
}

function discarded({ kind, owed }: Debt, why: string): Payment['audit'] {
  if (kind === 'copy') return { action: 'oversight.copy_failed', metadata: { kind: owed } };
  return { action: 'message.dsn_discarded', metadata: { kind: owed, why } };
}

/** Whom this report is about; nobody is told twice of the same failure. */
function concernedBy({ owed, recipients }: Debt): DebtRecipient[] {
  switch (owed) {
    case 'failed':
    case 'unknown':
      return recipients.filter(({ status, reported }) => status === 'failed' && !reported);
    case 'delayed':
      return recipients.filter(({ status }) => status === 'deferred' || status === 'pending');
    default:
      return recipients.filter(({ status, reported }) => status !== 'relayed' && !reported);
  }
}

function compose(
  debt: Debt,
  concerned: DebtRecipient[],
  destination: Exclude<Destination, { to: 'nobody' }>,
  { hostname, delivery }: Runtime['config'],
) {
  const id = newId();
  const now = new Date();
  const until = new Date(debt.queuedAt.getTime() + delivery.give_up_after_hours * 3_600_000);
  const bytes = composeDsn({
    kind: kindOf(debt),
    reportingMta: hostname,
    to: destination.address,
    from: `mailer-daemon@${hostname}`,
    arrivalDate: debt.createdAt,
    originalMessageId: debt.internetMessageId,
    recipients: concerned.map((one) => dsnRecipient(debt, one, until)),
    original: debt.head,
    now,
    id,
  });
  const content = { id: newId(), sha256: contentSha256(bytes), bytes };
  return { content, message: messageOf(debt, destination, content, hostname) };
}

/** What no reviewer rejected was refused by policy: it is not told as a person's decision. */
function kindOf({ owed, reviewed }: Debt): Dsn['kind'] {
  return owed === 'rejected' && !reviewed ? 'refused' : owed;
}

const REASONS: Record<Dsn['kind'], { status: string; reason: (debt: Debt) => string | undefined }> = {
  failed: { status: '5.0.0', reason: ({ statusReason }) => statusReason ?? undefined },
  delayed: { status: '4.0.0', reason: () => undefined },
  rejected: {
    status: '5.7.1',
    reason: ({ rejectReason }) => `The reviewer's reason: ${rejectReason ?? 'none given'}`,
  },
  refused: { status: '5.7.1', reason: ({ statusReason }) => sentence(statusReason) },
  expired: { status: '5.4.7', reason: () => undefined },
  unknown: { status: '5.4.2', reason: () => undefined },
};

function dsnRecipient(debt: Debt, one: DebtRecipient, until: Date): DsnRecipient {
  const { status, reason } = REASONS[kindOf(debt)];
  const delayed = debt.owed === 'delayed';
  const told = one.code !== null && (debt.owed === 'failed' || delayed);
  const reply = { code: one.code ?? 0, enhanced: one.enhanced, text: one.text ?? '' };
  const because = told ? undefined : (ownWords(debt, one) ?? reason(debt));
  return {
    address: one.address,
    action: delayed ? 'delayed' : 'failed',
    status: told ? inClass(statusOf(reply), delayed) : ownStatus(debt, one, status),
    diagnostic: told ? { type: 'smtp', reply } : null,
    ...(one.nextHop !== null && told && { remoteMta: one.nextHop.replace(/:\d+$/, '') }),
    ...(debt.lastAttemptAt !== null && { lastAttempt: debt.lastAttemptAt }),
    ...(delayed && { willRetryUntil: until }),
    ...(because !== undefined && { reason: because }),
  };
}

function sentence(text: string | null): string | undefined {
  return text === null || text === '' ? undefined : `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

/** What we said ourselves about this recipient, when no next hop said it. */
function ownWords({ owed }: Debt, { code, text }: DebtRecipient): string | undefined {
  return (owed === 'failed' || owed === 'delayed') && code === null ? (text ?? undefined) : undefined;
}

function ownStatus({ owed }: Debt, { enhanced }: DebtRecipient, status: string): string {
  const ours = owed === 'failed' || owed === 'delayed' ? enhanced : null;
  return inClass(ours ?? status, owed === 'delayed');
}

/** A failure that was temporary until the time ran out stays a 4.x.x (RFC 3464 §2.3.4); a delay never is a 5.x.x. */
function inClass(status: string, delayed: boolean): string {
  return delayed ? status.replace(/^[25]/, '4') : status.replace(/^2/, '5');
}

function messageOf(
  debt: Debt,
  destination: Exclude<Destination, { to: 'nobody' }>,
  content: NewContent,
  hostname: string,
): NewMessage {
  const isLocal = destination.to === 'mailbox';
  return ownMessage({
    ...formOf(content, destination.address, hostname),
    kind: 'dsn',
    mailboxId: isLocal ? destination.mailboxId : debt.mailboxId,
    aboutId: debt.id,
    to: destination.address,
    isLocal,
    actor: system('delivery'),
  });
}
