/** The reference: as a document for programs, and as a page for people that needs nothing from anywhere else. */
import { createHash } from 'node:crypto';
import fastify, { type FastifyInstance } from 'fastify';
import type { Operation } from '../operation.ts';
import { openApi } from './openapi.ts';

const DOCUMENT = '/v1/openapi.json';
const SCRIPT = '/docs/reference.js';

interface Page {
  html: string;
  script: string;
  policy: string;
}

export function mountReference(
  app: FastifyInstance,
  operations: readonly Operation[],
  baseUrl: string,
): void {
  let document: string | undefined;
  app.get(DOCUMENT, (_request, reply) => {
    document ??= JSON.stringify(openApi(operations, baseUrl));
    return reply.header('content-type', 'application/json; charset=utf-8').send(document);
  });

  let page: Promise<Page> | undefined;
  const asked = () => {
    page ??= render();
    return page;
  };
  app.get('/docs', async (_request, reply) => {
    const { html, policy } = await asked();
    return reply
      .headers({ 'content-type': 'text/html; charset=utf-8', 'content-security-policy': policy })
      .send(html);
  });
  app.get(SCRIPT, async (_request, reply) => {
    const { script } = await asked();
    return reply
      .headers({ 'content-type': 'text/javascript; charset=utf-8', 'cache-control': 'private, max-age=3600' })
      .send(script);
  });
}

/**
 * The page and its one script, as the library makes them. It is loaded when somebody first looks, for it is large,
 * and asked over a server of its own that never listens, since it gives its parts out in no other way.
 */
async function render(): Promise<Page> {
  const { default: scalar } = await import('@scalar/fastify-api-reference');
  const library = fastify({ logger: false });
  await library.register(scalar, {
    routePrefix: '/docs',
    configuration: {
      url: DOCUMENT,
      cdn: SCRIPT,
      pageTitle: 'Postern',
      // Nothing is fetched from, or told to, anyone else.
      telemetry: false,
      withDefaultFonts: false,
      agent: { disabled: true },
      mcp: { disabled: true },
      showDeveloperTools: 'never',
    },
  });
  const [page, script] = await Promise.all([library.inject('/docs/'), library.inject('/docs/js/scalar.js')]);
  await library.close();
  return { html: page.body, script: script.body, policy: policyOf(page.body) };
}

/** Scripts: ours and the one that stands in the page, by its digest. Styles are made by the script as it runs. */
function policyOf(html: string): string {
  const inline = [...html.matchAll(/<script(?![^>]*\ssrc=)[^>]*>([\s\S]*?)<\/script>/g)].map(
    ([, text]) => `'sha256-${createHash('sha256').update(text!).digest('base64')}'`,
  );
  return [
    "default-src 'none'",
    `script-src 'self' ${inline.join(' ')}`,
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; ');
}
