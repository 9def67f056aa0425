/** Pages for people: plain HTML that runs nothing, fetches nothing and sends its forms nowhere but here. */
import { Answer, Raw } from './operation.ts';

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
};

const STYLE =
  'body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem;color:#222}button{font:inherit;padding:.5rem 1rem}';

/** A page; `body` is HTML, in which every text from outside has gone through `escaped`. */
export function page(title: string, body: string, status = 200): Answer<never> {
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><h1>${escaped(title)}</h1>
${body}
</body></html>
`;
  return new Answer(status, new Raw(Buffer.from(html), {}) as never, HEADERS);
}

/** Text as HTML shows it, also within a quoted attribute. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
