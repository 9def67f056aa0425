/** Mail written by a program: fields in, the bytes of one message out. */
import MailComposer from 'nodemailer/lib/mail-composer';
import { normalise } from '../core/mail/wire.ts';

/** Addresses are canonical and texts are checked before they come here: no field can end its line. */
export interface Draft {
  from: { address: string; name: string | null };
  to: string[];
  cc: string[];
  replyTo: string | null;
  subject: string;
  text: string;
  messageId: string;
  date: Date;
}

/** The message as it is stored and sent. Who is in Bcc stands in the envelope alone (RFC 5322 §3.6.3). */
export async function compose(draft: Draft): Promise<Buffer> {
  const mail = new MailComposer({
    from: { address: draft.from.address, name: draft.from.name ?? '' },
    to: draft.to.map(bare),
    cc: draft.cc.map(bare),
    ...(draft.replyTo !== null && { replyTo: bare(draft.replyTo) }),
    subject: draft.subject,
    text: draft.text,
    messageId: draft.messageId,
    date: draft.date,
    // Nothing in a message may make us read a file or call somebody.
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return normalise(await mail.compile().build());
}

/** As an object, so that the library does not parse the address once more in its own way. */
function bare(address: string): { address: string; name: string } {
  return { address, name: '' };
}
