/**
 * The page behind the link of a notice: all of a draft that a person needs to decide on it, as plain HTML. It shows
 * the text that is stored and nothing that the text could fetch.
 */
import { displayAddress } from '../../core/mail/address.ts';
import { misleadingName } from '../../core/mail/misleading-name.ts';
import { plainTime } from '../../core/mail/text.ts';
import type { MessageRecord } from '../../core/store/messages.ts';
import { escaped, page } from '../http/page.ts';
import type { Answer } from '../operation.ts';
import { TEXT_BYTES } from '../reading/bodies.ts';
import { recipientsShown } from '../views/oversight.ts';

export interface Shown {
  message: MessageRecord;
  /** As the store holds it. */
  text: string;
}

/** What has just happened, told on top. */
export interface Told {
  status: number;
  words: string;
  /** What was typed already, so that nobody has to type it again. */
  reason?: string | undefined;
  retryAfter?: string | undefined;
}

/** The draft with its forms. */
export function draftPage({ message, text }: Shown, told?: Told): Answer<never> {
  const inbound = message.direction === 'inbound';
  const title = inbound ? 'May this message come in?' : 'May this message leave?';
  const answer = page(
    title,
    [
      told === undefined ? '' : `<p class="alert" role="alert">${escaped(told.words)}</p>`,
      reasons(message),
      envelope(message),
      draft(message, text),
      files(message),
      forms(message, told),
    ].join('\n'),
    told?.status ?? 200,
  );
  if (told?.retryAfter !== undefined) answer.headers['retry-after'] = told.retryAfter;
  return answer;
}

/** A page that offers nothing to decide. */
export function wordsPage(title: string, words: string, status = 200): Answer<never> {
  return page(title, `<p>${escaped(words)}</p>`, status);
}

function reasons({ hold }: MessageRecord): string {
  const items = (hold?.reasons ?? []).map((reason) => `<li>${shown(reason)}</li>`).join('');
  return `<h2>Why it is held</h2>\n<ul>${items}</ul>`;
}

function envelope(message: MessageRecord): string {
  const { to, cc, bcc } = recipientsShown(message);
  const { from = [], replyTo = [] } = (message.facts ?? {}) as {
    from?: { name: string | null; address: string }[];
    replyTo?: { address: string }[];
  };
  const sender = from.map(({ name, address }) => (name ? `${name} <${address}>` : address)).join(', ');
  const inbound = message.direction === 'inbound';
  return rows('Where it goes', [
    ['From', sender],
    ['Sent as', message.reversePath === sender ? '' : displayAddress(message.reversePath) || 'nobody (<>)'],
    ['To', list(inbound ? message.forwardPaths : to)],
    ['Named in To', inbound ? list(to) : ''],
    ['Cc', list(cc)],
    ['Bcc', list(bcc)],
    ['Answers go to', list(replyTo.map(({ address }) => address))],
    ['Written by', inbound ? '' : [message.composerName, message.agent].filter(Boolean).join(', as ')],
    ['Leaves', message.sendAt === null ? '' : `not before ${plainTime(message.sendAt)}`],
    ['Mailbox', `${displayAddress(message.mailbox)} (${message.effectiveMode ?? message.mailboxMode})`],
    [
      'Expires',
      message.hold === null
        ? ''
        : `${plainTime(message.hold.expiresAt)}; then it is never ${inbound ? 'let in' : 'sent'}`,
    ],
  ]);
}

function list(addresses: string[]): string {
  return addresses.map(displayAddress).join(', ');
}

function rows(heading: string, facts: [string, string][]): string {
  const items = facts
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `<dt>${name}</dt><dd>${shown(value)}</dd>`);
  return `<h2>${heading}</h2>\n<dl>${items.join('\n')}</dl>`;
}

function draft({ subject, facts, source, size }: MessageRecord, text: string): string {
  const { texts = [] } = (facts ?? {}) as { texts?: { type: string; from: number; to: number }[] };
  const long = texts.length === 0 ? size > TEXT_BYTES : texts.some(({ from, to }) => from - to > TEXT_BYTES);
  // Composed here, both say the same; handed in by others they may not.
  const differs = source !== 'rest' && texts.some(({ type }) => type === 'text/html') && texts.length > 1;
  return `<h2>Subject</h2>
<p>${subject === '' ? '<span class="note">(none)</span>' : shown(subject)}</p>
<h2>The whole text, as its sender wrote it</h2>
<pre>${text.trim() === '' ? '(no text)' : shown(text)}</pre>
${long ? '<p class="mark">The text is so long that it is cut here: not all of it is shown.</p>' : ''}
${differs ? '<p class="mark">It also has a version in HTML, which is not shown here and may say something else.</p>' : ''}`;
}

function files({ facts }: MessageRecord): string {
  const { attachments = [], alteredNames = [] } = (facts ?? {}) as {
    attachments?: { name: string; size: number; type: string }[];
    alteredNames?: string[];
  };
  if (attachments.length === 0) return '<h2>Files</h2>\n<p>None.</p>';
  const items = attachments.map(({ name, size, type }) => {
    const marks = [
      ...(alteredNames.includes(name) ? ['its name had been written with what could mislead'] : []),
      ...misleadingName(name, type),
    ];
    const warning =
      marks.length === 0 ? '' : ` <strong class="mark">Beware: ${shown(marks.join('; '))}</strong>`;
    return `<li>${shown(name)} <span class="note">(${shown(type)}, ${bytes(size)})</span>${warning}</li>`;
  });
  return `<h2>Files</h2>\n<ul>${items.join('\n')}</ul>`;
}

function forms({ digest, direction }: MessageRecord, told: Told | undefined): string {
  const hidden = `<input type="hidden" name="content_digest" value="${digest}">`;
  return `<form method="post">${hidden}
<h2>1. Ask for a code</h2>
<p>Whoever has this link could open this page, so deciding takes a code that is mailed to the oversight address.</p>
<button name="action" value="send_code">Mail me a code</button>
</form>
<form method="post">${hidden}
<h2>2. Decide</h2>
<label for="code">The code</label>
<input id="code" name="code" required maxlength="16" size="10" autocomplete="one-time-code" autocapitalize="characters" spellcheck="false">
<label for="reason">Why (of a rejection the sender is told; may be empty)</label>
<textarea id="reason" name="reason" rows="2" maxlength="2000">${escaped(told?.reason ?? '')}</textarea>
<p><button name="action" value="approve">${direction === 'inbound' ? 'Approve: let it in' : 'Approve: let it leave'}</button>
<button name="action" value="reject">Reject: ${direction === 'inbound' ? 'keep it out' : 'never send it'}</button></p>
</form>
<p class="note">Nothing on this page decides without a code. The decision counts for exactly what is shown here:<br>
<code>${digest}</code></p>`;
}

function bytes(size: number): string {
  if (size < 1_024) return `${size} bytes`;
  return size < 1_048_576 ? `${Math.round(size / 1_024)} KiB` : `${(size / 1_048_576).toFixed(1)} MiB`;
}

// Direction marks, joiners where nothing joins, and other characters that nobody sees.
const HIDDEN = /[\p{Bidi_Control}\u200b\u2060-\u2064\u{e0000}-\u{e007f}]|(?![\t\n\r])\p{Cc}/gu;

/** A stranger's text: what would be invisible, or turn the text around it, is named instead of obeyed. */
function shown(text: string): string {
  return escaped(text).replace(
    HIDDEN,
    (sign) => `<b class="mark">[U+${sign.codePointAt(0)!.toString(16).toUpperCase().padStart(4, '0')}]</b>`,
  );
}
