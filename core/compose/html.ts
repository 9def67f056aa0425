/** The page that text becomes. It loads nothing from anywhere, and brings no colours that a dark screen would fight. */

const FONT = `font:16px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif`;
const MONO = `font:14px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace`;
const LINE = 'rgba(128,128,128,.4)';

// Many mail programs drop a style sheet, so each element bears its own style. Inlining a sheet by juice gives the
// same and costs four times as much as all the rest of composing.
const STYLES: Readonly<Record<string, string>> = {
  p: 'margin:0 0 1em',
  h1: 'font-size:1.5em;line-height:1.3;margin:0 0 .7em',
  h2: 'font-size:1.3em;line-height:1.3;margin:0 0 .7em',
  h3: 'font-size:1.1em;line-height:1.3;margin:0 0 .7em',
  ul: 'margin:0 0 1em;padding-left:1.5em',
  ol: 'margin:0 0 1em;padding-left:1.5em',
  blockquote: `margin:0 0 1em;padding-left:1em;border-left:3px solid ${LINE}`,
  pre: `${MONO};margin:0 0 1em;padding:.7em 1em;border:1px solid ${LINE};white-space:pre-wrap`,
  code: 'font-family:ui-monospace,Menlo,Consolas,monospace;font-size:.9em',
  table: 'border-collapse:collapse;margin:0 0 1em',
  th: `border:1px solid ${LINE};padding:.3em .6em`,
  td: `border:1px solid ${LINE};padding:.3em .6em`,
  hr: `border:0;border-top:1px solid ${LINE};margin:1.5em 0`,
};

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}

/** Puts its style on each element. `html` is clean: a `<` in it begins a tag and nothing else. */
export function styled(html: string): string {
  return html.replace(/<([a-z][a-z0-9]*)(?=[ >])/g, (tag, name: string) =>
    STYLES[name] === undefined ? tag : `${tag} style="${STYLES[name]}"`,
  );
}

/** Text as it stands, for what has no better form. */
export function preformatted(text: string): string {
  return `<pre>${escapeHtml(text)}</pre>`;
}

/** The whole document; `body` and `footer` are clean HTML without styles. */
export function page(body: string, footer: string): string {
  return `<!DOCTYPE html>
<html><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"></head>
<body style="margin:0;padding:16px"><div style="${FONT};max-width:44em;overflow-wrap:break-word">
${styled(body.trim())}
<div style="margin-top:2em;padding-top:.7em;border-top:1px solid ${LINE};font-size:13px;opacity:.75">
${styled(footer)}
</div></div></body></html>
`;
}
