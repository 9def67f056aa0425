/** HTML of a stranger as plain text. */
import { convert } from 'html-to-text';

/** So many elements open at once: the parser's cost grows with the depth, and no page needs it. */
const DEPTH = 1_000;
const VOID = new Set('area base br col embed hr img input link meta param source track wbr'.split(' '));

/** Takes time in proportion to its length, whatever it is. Links are told with their addresses, images by their words. */
export function htmlToPlainText(html: string): string {
  return isDeep(html) ? withoutTags(html) : convert(html, OPTIONS);
}

const OPTIONS: Parameters<typeof convert>[1] = {
  wordwrap: false,
  limits: { maxInputLength: 1 << 19, maxDepth: 60, maxChildNodes: 5_000, maxBaseElements: 50, ellipsis: '…' },
  selectors: [
    // The address of an image would only be a beacon.
    { selector: 'img', format: 'wordsOfImage' },
    { selector: 'a', options: { hideLinkHrefIfSameAsText: true } },
    ...['h1', 'h2', 'h3', 'h4', 'h5', 'h6'].map((selector) => ({ selector, options: { uppercase: false } })),
  ],
  formatters: {
    wordsOfImage(element, _walk, builder) {
      const { alt } = element.attribs as { alt?: string };
      if (alt !== undefined && alt !== '') builder.addInline(alt);
    },
  },
};

/** An end tag closes at least one element of its name, so what is counted is never less than what is open. */
function isDeep(html: string): boolean {
  const open = new Map<string, number>();
  let depth = 0;
  for (const [, slash, written] of html.matchAll(/<(\/?)([a-z][^\s/>]{0,30})/gi)) {
    const name = written!.toLowerCase();
    const count = open.get(name) ?? 0;
    if (slash === '/') {
      if (count > 0) depth -= 1;
      open.set(name, Math.max(0, count - 1));
    } else if (!VOID.has(name)) {
      open.set(name, count + 1);
      depth += 1;
      if (depth > DEPTH) return true;
    }
  }
  return false;
}

function withoutTags(html: string): string {
  const told: string[] = [];
  for (let at = 0; at < html.length; ) {
    const tag = html.indexOf('<', at);
    const text = html.slice(at, tag === -1 ? html.length : tag);
    if (text.trim() !== '') told.push(text.trim());
    const end = tag === -1 ? -1 : html.indexOf('>', tag);
    at = end === -1 ? html.length : end + 1;
  }
  return told.join('\n');
}
