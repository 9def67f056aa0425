/** Where one line of ours ends: enough to recognise a hostile text, too little to flood a log. */
const MAX = 1024;

/**
 * Everything that could end a line, move a cursor, or make text read differently from what it is:
 * C0 and C1 controls, DEL, the Unicode line and paragraph separators, bidirectional marks, embeddings,
 * overrides and isolates, zero-width characters, byte order marks, tag characters and lone surrogates.
 */
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}\p{Surrogate}]/gu;

/**
 * Text from outside (a peer's greeting, a subject, a next hop's reply) as one harmless line of at most
 * `max` characters: for logs, stored replies, headers and pages. What was unsafe is shown as U+FFFD, so
 * that nothing joins up across a removed character.
 */
export function clean(text: string, max: number = MAX): string {
  // cut first: a megabyte is not worth scanning for the kilobyte that is kept
  const head = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  return head.replace(UNSAFE, '\ufffd');
}
