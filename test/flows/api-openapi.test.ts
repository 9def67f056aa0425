/** What the interface says of itself: the description, the page made from it, and the public documents beside it. */
import { createHash } from 'node:crypto';
import { connect } from 'node:net';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { OPERATIONS } from '../../api/registry.ts';
import { startTestApi, type TestApi } from '../support/api.ts';

let api: TestApi;
// biome-ignore lint/suspicious/noExplicitAny: a document to look into
let document: any;
beforeAll(async () => {
  api = await startTestApi();
  document = (await api.call('GET', '/v1/openapi.json')).json;
});
afterAll(() => api.close());

/** Rules of the recommended set that are not kept, each with its reason. */
const NOT_KEPT: Record<string, string> = {
  'no-server-example.com': 'the server is wherever this one is reached, also on localhost',
};

test('the description is valid, and keeps the recommended rules', async () => {
  const rules = Object.fromEntries(Object.keys(NOT_KEPT).map((rule) => [rule, 'off'] as const));
  const config = await createConfig({ extends: ['recommended'], rules });
  const problems = await lintFromString({ source: JSON.stringify(document), config });
  expect(
    problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} at ${location[0]?.pointer}`),
  ).toEqual([]);
});

test('every operation stands in it once, with its key, its statuses and its errors', () => {
  let told = 0;
  for (const one of OPERATIONS) {
    const entry = document.paths[one.path.replace(/:(\w+)/g, '{$1}')]?.[one.method.toLowerCase()];
    expect(entry, one.name).toMatchObject({ operationId: one.name, summary: one.summary, tags: [one.area] });
    expect(entry.security.length > 0, one.name).toBe(one.access !== 'none');
    expect(entry['x-mcp-tool'], one.name).toBe(one.tool === undefined ? undefined : one.name);
    const statuses = [one.status ?? 200, ...Object.keys(one.also ?? {}), ...(one.guard ? [202] : [])].map(
      String,
    );
    expect(Object.keys(entry.responses), one.name).toEqual(
      expect.arrayContaining([...statuses, '400', '500']),
    );
    told += 1;
  }
  const entries = Object.values(document.paths as Record<string, object>).flatMap((path) =>
    Object.keys(path),
  );
  expect(entries.length).toBe(told);
});

test('the members of an input stand in the path, the query or the body, and nowhere twice', () => {
  for (const one of OPERATIONS) {
    const entry = document.paths[one.path.replace(/:(\w+)/g, '{$1}')][one.method.toLowerCase()];
    const named = ((entry.parameters ?? []) as { name: string; in: string }[])
      .filter((parameter) => parameter.in !== 'header')
      .map(({ name }) => name);
    const body = Object.keys(entry.requestBody?.content['application/json'].schema.properties ?? {});
    expect([...named, ...body].sort(), one.name).toEqual(Object.keys(one.input.shape).sort());
  }
});

test('an answer that is no JSON says what it is', () => {
  for (const one of OPERATIONS.filter(({ output }) => output === 'raw'))
    expect(one.media, `${one.name} needs media`).toBeDefined();
});

test('the page shows it and loads nothing from anywhere else', async () => {
  const page = await api.call('GET', '/docs');
  expect(page.status).toBe(200);
  expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8');
  const policy = page.headers.get('content-security-policy')!;
  expect(policy).toContain("default-src 'none'");
  expect(policy).toContain("connect-src 'self'");
  expect(policy).not.toMatch(/https?:|\*|unsafe-eval/);
  expect(page.headers.get('x-content-type-options')).toBe('nosniff');

  const scripts = [...page.text.matchAll(/<script([^>]*)>([\s\S]*?)<\/script>/g)];
  const sources = scripts.map(([, attributes]) => /src="([^"]*)"/.exec(attributes!)?.[1]).filter(Boolean);
  expect(sources).toEqual(['/docs/reference.js']);
  for (const [, attributes, text] of scripts.filter(([, given]) => !/src=/.test(given!))) {
    const digest = createHash('sha256').update(text!).digest('base64');
    expect(`${attributes} ${policy}`).toContain(`'sha256-${digest}'`);
    expect(text).toContain('"url": "/v1/openapi.json"');
    expect(text).toContain('"telemetry": false');
    expect(text).toContain('"withDefaultFonts": false');
  }
  expect(page.text.replace(/http:\/\/www\.w3\.org\S*/g, '')).not.toMatch(/https?:\/\//);

  const script = await api.call('GET', '/docs/reference.js');
  expect(script.headers.get('content-type')).toMatch(/^text\/javascript/);
  expect(script.text).toContain('createApiReference');
});

test('a program that knows nothing learns how keys are shown, and that nobody hands them out', async () => {
  const refused = await api.call('GET', '/v1/account');
  const where = /resource_metadata="([^"]+)"/.exec(refused.headers.get('www-authenticate')!)![1]!;
  const { status, json } = await api.call('GET', new URL(where).pathname);
  expect(status).toBe(200);
  expect(json).toEqual({
    resource: new URL(where).origin,
    bearer_methods_supported: ['header'],
    scopes_supported: ['read', 'send', 'oversight', 'oversight_read', 'admin'],
  });
});

test('health says what works, and which version it is', async () => {
  expect(await api.call('GET', '/health')).toMatchObject({
    status: 200,
    json: { status: 'ok', version: document.info.version, checks: { database: 'ok', schema: 'ok' } },
  });
});

test('what is no HTTP is answered in the same shape', async () => {
  const { hostname, port } = new URL(api.url);
  const answer = await new Promise<string>((resolve, reject) => {
    let heard = '';
    const socket = connect(Number(port), hostname, () => socket.write('NONSENSE\r\n\r\n'));
    socket.setEncoding('utf8').on('data', (text) => {
      heard += text;
    });
    socket.on('end', () => resolve(heard)).on('error', reject);
  });
  expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
  expect(JSON.parse(answer.split('\r\n\r\n')[1]!)).toMatchObject({ code: 'bad_request', status: 400 });
});
