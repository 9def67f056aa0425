/**
 * The wall behind the reader of Markdown: whatever that lets through, only these tags and links leave here.
 * Most of what comes is clean already, and to see that costs a fraction of reading it as HTML.
 */
import sanitize from 'sanitize-html';

const TAGS =
  'p br strong em del code pre ul ol li blockquote h1 h2 h3 h4 h5 h6 hr table thead tbody tr th td a'.split(
    ' ',
  );

// All that may stand there with `<`, `>` or `&` in it, as we write it.
const CLEAN = new RegExp(
  `</?(?:${TAGS.join('|')})>|<ol start="\\d{1,9}">|&(?:amp|lt|gt|quot|#39);` +
    `|<a href="(?:https?://|mailto:)(?:[^"<>&\\x00-\\x20]|&amp;)*">`,
  'g',
);

/** Safe HTML of what a reader of Markdown has made: its tags are balanced, its text is escaped. */
export function cleaned(html: string): string {
  // A piece is taken out whole, so that nothing joins to what was not there: any of these left is not ours.
  if (/[<>&]/.test(html.replace(CLEAN, ' '))) return washed(html);
  return html.replace(/<[bh]r>|&quot;|&#39;/g, (piece) => SPELT[piece]!);
}

/** One spelling, whichever way it went. */
const SPELT: Readonly<Record<string, string>> = {
  '<br>': '<br />',
  '<hr>': '<hr />',
  '&quot;': '"',
  '&#39;': "'",
};

/** Safe HTML of anything. */
export function washed(html: string): string {
  return sanitize(html, {
    allowedTags: TAGS,
    allowedAttributes: { a: ['href'], ol: ['start'] },
    allowedSchemes: ['http', 'https', 'mailto'],
    allowProtocolRelative: false,
    disallowedTagsMode: 'escape',
  });
}
