/**
 * Markdown as HTML that is safe to show, from text that may be anything:
 *
 *   text ─▶ marked (raw HTML as text, images as links) ─▶ clean-html.ts (a second wall) ─▶ tags and links, nothing else
 */
import { Marked } from 'marked';
import { cleaned } from './clean-html.ts';
import { escapeHtml } from './html.ts';

// Nobody writes deeper, and mail programs are known to fail on what nests for ever.
const DEEPEST = 40;
// What a link may lead to. Everything else, `javascript:` above all, is shown as its text.
const LINK = /^(?:https?:\/\/|mailto:)/i;

const reader = new Marked({
  gfm: true,
  breaks: true,
  renderer: {
    html: ({ text }) => escapeHtml(text),
    link({ href, tokens }) {
      const text = this.parser.parseInline(tokens);
      return LINK.test(href) ? `<a href="${escapeHtml(href)}">${text}</a>` : text;
    },
    // An image would be fetched when the mail is read, which tells its owner that, when and where.
    image({ href, text }) {
      const shown = escapeHtml(text === '' ? href : text);
      return LINK.test(href) ? `<a href="${escapeHtml(href)}">${shown}</a>` : shown;
    },
    checkbox: ({ checked }) => (checked ? '[x] ' : '[ ] '),
  },
});

/** The HTML, or null for what no reader was meant to see: nesting without end, or more than the stack holds. */
export function renderMarkdown(text: string): string | null {
  try {
    const html = cleaned(reader.parse(text, { async: false }));
    return depthOf(html) > DEEPEST ? null : html;
  } catch {
    return null;
  }
}

function depthOf(html: string): number {
  let depth = 0;
  let deepest = 0;
  for (const [, close, name] of html.matchAll(/<(\/?)([a-z0-9]+)/g)) {
    if (close === '/') depth -= 1;
    else if (name !== 'br' && name !== 'hr') deepest = Math.max(deepest, ++depth);
  }
  return deepest;
}
