/** The page behind verify links. It runs one script of ours, named by its hash, and speaks to nobody else. */
import { hash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Raw } from '../operation.ts';

const asset = (name: string) => readFileSync(new URL(`./pages/${name}`, import.meta.url), 'utf8');
const source = (text: string) => `'sha256-${hash('sha256', text, 'base64')}'`;

const STYLE = asset('verify.css');
const SCRIPT = asset('verify.js');
const PAGE = Buffer.from(
  asset('verify.html')
    .replace('<style></style>', () => `<style>${STYLE}</style>`)
    .replace('<script></script>', () => `<script>${SCRIPT}</script>`),
);

const HEADERS = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': [
    "default-src 'none'",
    `script-src ${source(SCRIPT)}`,
    `style-src ${source(STYLE)}`,
    "connect-src 'self'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
  ].join('; '),
};

export function verifyPage(): Raw {
  return new Raw(PAGE, HEADERS);
}
