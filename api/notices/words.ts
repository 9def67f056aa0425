/** What is written to the people who oversee when mail is held, still waits, or has expired. */
import { displayAddress } from '../../core/mail/address.ts';
import { oneLine, plainTime } from '../../core/mail/text.ts';
import type { DueNotice } from '../../core/store/notifying.ts';

export interface Words {
  subject: string;
  text: string;
}

/** A message with the link to its page. */
export interface Linked extends DueNotice {
  link: string;
}

/** Of the text so much stands in a mail; the page has all of it. */
const LINES = 60;
const LINE_OCTETS = 900; // RFC 5322 §2.1.1 allows 998

/** One message is held. `body` is its text, as its sender wrote it. */
export function heldWords(one: Linked, body: string, hostname: string): Words {
  const inbound = one.direction === 'inbound';
  return {
    subject: `${inbound ? 'Let in' : 'Approve'}? ${oneLine(one.subject, 300) || '(no subject)'}`,
    text: lines(
      `The mail gateway ${hostname} holds a message ${inbound ? 'to' : 'from'} ${displayAddress(one.mailbox)},`,
      'and waits for a person to decide.',
      '',
      ...one.reasons.map((reason, n) => `${n === 0 ? 'Why:     ' : '         '}${oneLine(reason, 600)}`),
      '',
      ...envelopeOf(one),
      ...filesOf(one),
      `Expires: ${plainTime(one.expiresAt)}; then it is never ${inbound ? 'let in' : 'sent'}`,
      '',
      'Read it as a whole and decide here:',
      '',
      one.link,
      '',
      'The link alone decides nothing: the page mails you a code. It ends when the',
      'message is decided, edited, cancelled or expired.',
      '',
      'Its text, each line marked with ">". It comes from the sender, not from Postern:',
      '',
      ...quoted(body),
      '',
    ),
  };
}

/** Many are held at once: one mail for all of them. */
export function manyHeldWords(all: Linked[], hostname: string): Words {
  return listWords(all, `${all.length} messages wait for your decision`, [
    `The mail gateway ${hostname} holds ${all.length} messages that wait for a person to decide.`,
    'So many came at once that they are told in one mail.',
  ]);
}

/** Half the time is over. */
export function reminderWords(all: Linked[], hostname: string): Words {
  const still = all.length === 1 ? 'A message still waits' : `${all.length} messages still wait`;
  const it = all.length === 1 ? 'it has' : 'they have';
  return listWords(all, `${still} for your decision`, [
    `${still} on the mail gateway ${hostname} for a person to decide.`,
    `Half the time that ${it} is over. What nobody decides on expires, and then it never passes.`,
  ]);
}

/** Inbound mail that nobody let in: its senders are told nothing. */
export function expiredWords(all: DueNotice[], hostname: string): Words {
  const what = all.length === 1 ? 'A message' : `${all.length} messages`;
  return listWords(
    all.map((one) => ({ ...one, link: '' })),
    `${what} expired undecided`,
    [
      `${what} from outside expired on the mail gateway ${hostname}: nobody decided in time,`,
      'so no mailbox shows it and its sender is told nothing.',
    ],
  );
}

const LISTED = 50;

function listWords(all: Linked[], subject: string, begin: string[]): Words {
  const items = all
    .slice(0, LISTED)
    .flatMap((one) => [
      '',
      ...envelopeOf(one),
      `Why:     ${oneLine(one.reasons[0] ?? '', 300)}`,
      `Expires: ${plainTime(one.expiresAt)}`,
      ...(one.link === '' ? [] : [one.link]),
    ]);
  const more = all.length - LISTED;
  const end = more > 0 ? ['', `And ${more} more: postern held list shows them all.`] : [];
  return { subject, text: lines(...begin, ...items, ...end, '') };
}

function envelopeOf({
  reversePath,
  forwardPaths,
  subject,
  composer,
  agent,
  sendAt,
  direction,
}: DueNotice): string[] {
  const to = forwardPaths.slice(0, 10).map(displayAddress).join(', ');
  const more = forwardPaths.length > 10 ? ` and ${forwardPaths.length - 10} more` : '';
  const who = [composer, agent].filter((name) => name !== null).map((name) => oneLine(name, 200));
  return [
    `From:    ${oneLine(displayAddress(reversePath), 400) || '<>'}`,
    `To:      ${oneLine(to, 850)}${more}`,
    `Subject: ${oneLine(subject, 600)}`,
    ...(direction === 'outbound' && who.length > 0 ? [`By:      ${who.join(', as ')}`] : []),
    ...(sendAt === null ? [] : [`Leaves:  not before ${plainTime(sendAt)}`]),
  ];
}

function filesOf({ facts }: DueNotice): string[] {
  const { attachments = [] } = (facts ?? {}) as { attachments?: { name: string; size: number }[] };
  return attachments
    .slice(0, 10)
    .map(
      ({ name, size }, n) => `${n === 0 ? 'Files:   ' : '         '}${oneLine(name, 300)} (${size} bytes)`,
    );
}

/** In each line a mark that no sender can leave out, so that nothing in it passes for a word of ours. */
function quoted(body: string): string[] {
  const all = body.trim().split(/\r?\n/);
  const some = all.slice(0, LINES).map((line) => `> ${oneLine(line, LINE_OCTETS)}`.trimEnd());
  return all.length > LINES ? [...some, '', 'It goes on: the page shows all of it.'] : some;
}

function lines(...all: string[]): string {
  return all.join('\n');
}
