/** Pages for people: plain HTML that runs nothing, fetches nothing and sends its forms nowhere but here. */
import { Answer, Raw } from '../operation.ts';

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy':
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
};

const STYLE = `:root{color-scheme:light dark;--ink:#222;--paper:#fff;--faint:#666;--line:#ccc;--shade:#f4f4f4;--alarm:#a00}
@media(prefers-color-scheme:dark){:root{--ink:#ddd;--paper:#161616;--faint:#aaa;--line:#444;--shade:#222;--alarm:#ff8a80}}
body{font:16px/1.5 system-ui,sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem;color:var(--ink);background:var(--paper);overflow-wrap:anywhere}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:1.5rem 0 .5rem}
button,input,textarea{font:inherit;color:inherit;background:var(--shade);border:1px solid var(--line);border-radius:.3rem;padding:.5rem .8rem;box-sizing:border-box;max-width:100%}
button{min-height:44px;cursor:pointer;margin:.5rem .5rem .5rem 0}textarea{width:100%}label{display:block;margin-top:.8rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.2rem 1rem;margin:0}dt{color:var(--faint)}dd{margin:0}
@media(max-width:30rem){dl{grid-template-columns:1fr}dd{margin-bottom:.5rem}}
pre{font:inherit;white-space:pre-wrap;background:var(--shade);border:1px solid var(--line);border-radius:.3rem;padding:1rem;margin:0}
.note{color:var(--faint)}.alert{border-left:.3rem solid var(--alarm);padding:.2rem 1rem}.mark{color:var(--alarm)}code{font-size:.85em}
form{border-top:1px solid var(--line);margin-top:1.5rem}`;

/** A page; `body` is HTML, in which every text from outside has gone through `escaped`. */
export function page(title: string, body: string, status = 200): Answer<never> {
  const html = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>${escaped(title)}</title><style>${STYLE}</style></head>
<body><main><h1>${escaped(title)}</h1>
${body}
</main></body></html>
`;
  return new Answer(status, new Raw(Buffer.from(html), {}) as never, { ...HEADERS });
}

/** Text as HTML shows it, also within a quoted attribute. */
export function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
}
