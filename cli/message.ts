/** A message's own bytes, as the commands show them: on a terminal, so nothing of it is believed. */
import PostalMime from 'postal-mime';
import { contentSha256, messageDigest } from '../core/mail/digest.ts';
import type { Client } from './client.ts';
import { quoted } from './output.ts';

/** Above this only the size is told; parsing and showing more would help nobody. */
const SHOWN_BYTES = 2 * 1024 * 1024;

export async function fetchRaw(client: Client, path: string): Promise<Buffer> {
  const response = await client.raw(path);
  return Buffer.from(await response.arrayBuffer());
}

/** The digest of this envelope with these bytes, worked out here and taken from nobody. */
export function digestOf(envelope: { reverse_path: string; forward_paths: string[] }, raw: Buffer): string {
  return messageDigest({
    reversePath: envelope.reverse_path,
    forwardPaths: envelope.forward_paths,
    contentSha256: contentSha256(raw),
  });
}

export interface Shown {
  /** Who the header says it is for; envelopes may differ. */
  header: { from: string; to: string; cc: string };
  text: string;
  attachments: string[];
}

export async function shownOf(raw: Buffer): Promise<Shown | undefined> {
  if (raw.length > SHOWN_BYTES) return undefined;
  try {
    const mail = await PostalMime.parse(raw, { maxNestingDepth: 30 });
    const names = (list: { name?: string; address?: string }[] | undefined) =>
      (list ?? [])
        .map(({ name, address }) => (name ? `${name} <${address ?? ''}>` : (address ?? '')))
        .join(', ');
    return {
      header: { from: names(mail.from ? [mail.from] : []), to: names(mail.to), cc: names(mail.cc) },
      text: mail.text ?? (mail.html === undefined ? '' : `${mail.html} (HTML)`),
      attachments: mail.attachments.map(({ filename, mimeType }) => `${filename ?? 'unnamed'} (${mimeType})`),
    };
  } catch {
    return undefined;
  }
}

/** The text for people, fenced; or why there is none. */
export function textLines(raw: Buffer, shown: Shown | undefined): string {
  if (raw.length > SHOWN_BYTES) return `  (${raw.length} bytes: too long to be shown here)`;
  if (shown === undefined) return '  (its parts cannot be read; look at the raw message)';
  return shown.text === '' ? '  (no text)' : quoted(shown.text.trimEnd());
}
