/** How the bodies of requests are read: as JSON objects, or as forms where an operation takes one. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Problem } from '../problem.ts';

type Done = (err: Error | null, body?: unknown) => void;

const JSON_TYPE = /^application\/([a-z0-9.-]+\+)?json(;|$)/i;
const FORM_TYPE = /^(application\/x-www-form-urlencoded|multipart\/form-data)(;|$)/i;
const MOST_VALUES = 10_000;

export function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  // Of another type: refused before it is read.
  app.addHook('preParsing', (request, _reply, _payload, done) => {
    const type = request.headers['content-type'] ?? 'application/json';
    const isBodyless = request.method === 'GET' || request.method === 'HEAD';
    const isTaken = JSON_TYPE.test(type) || (FORM_TYPE.test(type) && takesForm(request));
    done(isBodyless || isTaken ? null : wrongType());
  });
  app.addContentTypeParser(FORM_TYPE, { parseAs: 'string' }, readForm);
  // A body whose type nobody says is JSON too.
  app.addContentTypeParser('*', { parseAs: 'string' }, (request, body, done) =>
    readJson(app, request, body as string, done),
  );
}

function takesForm({ routeOptions }: FastifyRequest): boolean {
  return (routeOptions.config as { form?: boolean }).form === true;
}

function wrongType(): Problem {
  return new Problem(415, 'unsupported_media_type', 'Send the body as application/json.');
}

/** No body at all counts as an empty object, also where a client says it sends JSON. */
function readJson(app: FastifyInstance, request: FastifyRequest, body: string, done: Done): void {
  const text = body.trim();
  if (text === '') return done(null, {});
  app.getDefaultJsonParser('error', 'error')(request, text, (err, value) => {
    if (err) return done(new Problem(400, 'bad_request', 'The body is not valid JSON.'));
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return done(new Problem(400, 'bad_request', 'The body must be a JSON object.'));
    if (isOverfull(value)) return done(new Problem(413, 'too_large', 'The body holds too many values.'));
    done(null, value);
  });
}

/** A page's form; the members of one in parts (RFC 8058 allows it) are of no use to us. */
function readForm(request: FastifyRequest, body: string | Buffer, done: Done): void {
  const isMultipart = /^multipart/i.test(request.headers['content-type']!);
  done(null, isMultipart ? {} : Object.fromEntries(new URLSearchParams(body.toString())));
}

/** Whether a body holds more values than any request needs: each would be checked, and complained of, by itself. */
function isOverfull(body: object): boolean {
  const open: object[] = [body];
  let seen = 0;
  for (let one = open.pop(); one !== undefined; one = open.pop()) {
    const values: unknown[] = Array.isArray(one) ? one : Object.values(one);
    seen += values.length;
    if (seen > MOST_VALUES) return true;
    for (const value of values) if (typeof value === 'object' && value !== null) open.push(value);
  }
  return false;
}
