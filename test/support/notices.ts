/** What Postern mailed to the people who oversee it, read where the delivery room would fetch it. */
import type { Db } from '../../core/store/database.ts';

export interface MailedNotice {
  id: string;
  to: string;
  subject: string;
  /** Without header, decoded. */
  text: string;
}

/** Newest first. */
export async function mailedNotices(db: Db): Promise<MailedNotice[]> {
  const { rows } = await db.query<{ id: string; to: string; subject: string; bytes: Buffer }>({
    text: `select m.id, m.forward_paths[1] as to, m.subject, c.bytes
             from messages m join contents c on c.id = m.content_id where m.kind = 'notice' order by m.id desc`,
  });
  return rows.map(({ bytes, ...notice }) => ({ ...notice, text: textOf(bytes.toString()) }));
}

/** The code in the newest notice that holds one. */
export async function mailedCode(db: Db): Promise<string> {
  for (const { text } of await mailedNotices(db)) {
    const code = /^ {4}([2-9A-Z]{3}-[2-9A-Z]{3})\s*$/m.exec(text)?.[1];
    if (code !== undefined) return code;
  }
  throw new Error('no code was mailed');
}

function textOf(mail: string): string {
  const cut = mail.indexOf('\r\n\r\n');
  const body = mail.slice(cut + 4);
  return /^content-transfer-encoding: base64/im.test(mail.slice(0, cut))
    ? Buffer.from(body, 'base64').toString()
    : body;
}
