/** Programs as they are published for the hosted service: they run here unchanged but for base URL and key. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import worker from '../seeds/inbound-alert.ts';
import { startTestApi, type TestApi } from '../support/api.ts';
import { needsPython, PYTHON } from '../support/needs.ts';

const SEEDS = join(import.meta.dirname, '../seeds');

let api: TestApi;
/** One key with `send` alone: it runs the whole pipeline. */
let key: string;
beforeAll(async () => {
  api = await startTestApi();
  await api.mailbox('deploys@ours.example', 'monitored');
  await api.mailbox('incidents@ours.example', 'monitored');
  key = (await api.key({ scopes: ['send'], principal: { kind: 'agent', name: 'pipeline' } })).apiKey;
});
afterAll(() => api.close());

async function run(snippet: string, call: string, given: object, apiKey = key): Promise<unknown> {
  const { stdout } = await promisify(execFile)(
    PYTHON,
    [join(SEEDS, 'run.py'), join(SEEDS, snippet), call, JSON.stringify(given)],
    { env: { MM_API_KEY: apiKey, POSTERN_URL: api.url, PYTHONDONTWRITEBYTECODE: '1' } },
  );
  return JSON.parse(stdout);
}

describe('the pipeline of the snippets', () => {
  const skip = needsPython('python3-httpx');

  test.skipIf(skip)('a deploy is told at once, in monitored mode, with its tags', async () => {
    const checks = [
      { name: 'api', ok: true },
      { name: 'worker', ok: false },
    ];
    const sha = '0123456789abcdef';
    const id = (await run('deploy_notification.py', 'send_deploy_notification', {
      env: 'production',
      sha,
      duration_s: 42,
      health_checks: checks,
    })) as string;
    const sent = await api.until(id, 'queued');
    expect(sent).toMatchObject({
      subject: 'Deployment completed for production',
      oversight_mode: 'monitored',
      tags: { deploy: 'true', production: 'true', [sha.slice(0, 8)]: 'true' },
      agent: 'pipeline',
    });
  });

  test.skipIf(skip)(
    'a grave incident waits for a person, a lesser one does not, and both can be taken back',
    async () => {
      const escalate = (incident_id: string, severity: string) =>
        run('incident_escalation.py', 'escalate_incident', {
          incident_id,
          severity,
          affected: ['checkout', 'payments'],
          summary: 'Checkout fails.',
        }) as Promise<[id: string, pending: boolean]>;
      const [grave, waits] = await escalate('INC-1', 'P0');
      const [lesser, goes] = await escalate('INC-2', 'P1');
      expect([waits, goes]).toEqual([true, false]);
      expect((await api.until(grave, 'pending_send_approval')).oversight_mode).toBe('gated_send');
      await api.until(lesser, 'queued');

      for (const [incident_id, id] of [
        ['INC-1', grave],
        ['INC-2', lesser],
      ]) {
        const pending = (await run('queue_inspection.py', 'get_pending_for_incident', { incident_id })) as {
          message_id: string;
        }[];
        expect(pending.map(({ message_id }) => message_id)).toEqual([id]);
        expect(JSON.stringify(pending)).not.toContain('Checkout fails.');
        const resolve = (resolved: boolean) =>
          run('queue_inspection.py', 'cancel_if_resolved', { incident_id, resolved });
        expect(await resolve(false)).toBe(0);
        expect(await resolve(true)).toBe(1);
        await api.until(id!, 'cancelled');
        expect(await resolve(true)).toBe(0);
      }
    },
  );

  test.skipIf(skip)('a message is listed from the moment it was accepted', async () => {
    const accepted = (await run('incident_escalation.py', 'escalate_incident', {
      incident_id: 'INC-3',
      severity: 'P0',
      affected: [],
      summary: 's',
    })) as [string, boolean];
    const listed = (await run('queue_inspection.py', 'get_pending_for_incident', {
      incident_id: 'INC-3',
    })) as { message_id: string; subject: string }[];
    expect(listed).toMatchObject([
      { message_id: accepted[0], subject: '[P0] Incident INC-3: unknown service' },
    ]);
  });

  test.skipIf(skip)('an agent does not see, nor take back, what another one composed', async () => {
    await run('incident_escalation.py', 'escalate_incident', {
      incident_id: 'INC-4',
      severity: 'P0',
      affected: ['x'],
      summary: 's',
    });
    const stranger = (await api.key({ scopes: ['send'], principal: { kind: 'agent', name: 'other' } }))
      .apiKey;
    const given = { incident_id: 'INC-4' };
    expect(await run('queue_inspection.py', 'get_pending_for_incident', given, stranger)).toEqual([]);
    expect(
      await run('queue_inspection.py', 'cancel_if_resolved', { ...given, resolved: true }, stranger),
    ).toBe(0);
  });

  test.skipIf(skip)('a placeholder left where a page hid an address is no address', async () => {
    const reply = await api.call('POST', '/v1/send_email', {
      key,
      body: { from: '[email protected]', to: ['[email protected]'], subject: 's', body: 'b' },
    });
    expect(reply).toMatchObject({ status: 422, json: { code: 'invalid_address' } });
  });
});

describe('the worker that routes alerts', () => {
  afterEach(() => vi.unstubAllGlobals());

  /** As a webhook's body says it (6.3). */
  const event = (data: object, type = 'email.received') => ({
    id: '01JZZZZZZZZZZZZZZZZZZZZZZZ',
    event: type,
    type,
    event_type: type,
    timestamp: '2026-01-01T00:00:00.000Z',
    data: {
      from: 'watch@remote.example',
      subject: 'CRITICAL: disk full',
      body_text: 'The disk of db-1 is full.',
      mailbox: 'alerts@ours.example',
      direction: 'inbound',
      ...data,
    },
  });

  async function deliver(body: object): Promise<{ reply: unknown; paged: unknown[] }> {
    const paged: unknown[] = [];
    vi.stubGlobal('fetch', async (url: string, init: { body: string }) => {
      paged.push({ url, ...JSON.parse(init.body) });
      return new Response('{}');
    });
    const request = new Request('http://worker.example/webhooks/multimail/inbound', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-multimail-signature': 'sha256=00' },
      body: JSON.stringify(body),
    });
    const response = await worker.fetch(request, { MM_API_KEY: 'k', PAGERDUTY_KEY: 'pd' });
    return { reply: await response.json(), paged };
  }

  test('pages somebody for a critical alert', async () => {
    expect(await deliver(event({}))).toEqual({
      reply: { ok: true },
      paged: [
        {
          url: 'https://events.pagerduty.com/v2/enqueue',
          routing_key: 'pd',
          event_action: 'trigger',
          payload: {
            summary: 'CRITICAL: disk full',
            source: 'watch@remote.example',
            severity: 'critical',
            custom_details: { body: 'The disk of db-1 is full.' },
          },
        },
      ],
    });
  });

  test.each([
    ['other events', event({}, 'email.sent')],
    ['other mailboxes', event({ mailbox: 'info@ours.example' })],
    ['lesser alerts', event({ subject: 'disk at 80 %' })],
  ])('passes over %s', async (_, body) => {
    expect(await deliver(body)).toEqual({ reply: { ok: true }, paged: [] });
  });
});

describe('what a flow with retries relies on', () => {
  const mail = { to: ['ana@remote.example'], subject: 'A report', markdown: 'Here it is.' };

  test('a retried send with its idempotency_key gives the same message and queues no other', async () => {
    const mailbox = await api.mailbox('flow@ours.example', 'gated_send');
    const send = () =>
      api.call('POST', `/v1/mailboxes/${mailbox.id}/send`, {
        key,
        body: { ...mail, idempotency_key: 'flow-run-1' },
      });
    const first = await send();
    expect(first).toMatchObject({ status: 202, json: { status: 'pending_scan', pending_approval: true } });
    await api.until(first.json.id, 'pending_send_approval');
    const retry = await send();
    expect(retry).toMatchObject({
      status: 200,
      json: { id: first.json.id, status: 'already_sent', current_status: 'pending_send_approval' },
    });
    const { json } = await api.call('GET', '/v1/oversight/pending', { key: api.keys.reviewer });
    expect(json.emails.filter(({ subject }: { subject: string }) => subject === mail.subject)).toHaveLength(
      1,
    );
  });

  test('a task polls the pending list until a person has decided', async () => {
    const mailbox = await api.mailbox('poll@ours.example', 'gated_send');
    const id = await api.send(mailbox.id, { ...mail, subject: 'To be polled' });
    const waits = async () => {
      const { json } = await api.call('GET', '/v1/oversight/pending', { key: api.keys.agent });
      return json.emails.some((one: { id: string }) => one.id === id);
    };
    await api.until(id, 'pending_send_approval');
    expect(await waits()).toBe(true);
    const decided = await api.call('POST', '/v1/oversight/decide', {
      key: api.keys.reviewer,
      body: { email_id: id, action: 'approve' },
    });
    expect(decided.status).toBe(200);
    expect(await waits()).toBe(false);
  });

  test('POST /v1/mailboxes makes a mailbox whose mode governs what is sent from it', async () => {
    const ask = (more: object = {}) =>
      api.call('POST', '/v1/mailboxes', {
        key: api.keys.admin,
        body: { address: 'flows@ours.example', oversight_mode: 'gated_all', ...more },
      });
    const first = await ask();
    const made = first.status === 202 ? await ask({ approval_code: await api.code() }) : first;
    expect(made).toMatchObject({
      status: 201,
      json: { address: 'flows@ours.example', oversight_mode: 'gated_all' },
    });
    const sent = await api.call('POST', `/v1/mailboxes/${made.json.id}/send`, { key, body: mail });
    expect(sent).toMatchObject({
      status: 202,
      json: { oversight_mode: 'gated_all', pending_approval: true },
    });
    const off = await api.call('PATCH', `/v1/mailboxes/${made.json.id}`, {
      key: api.keys.admin,
      body: { ai_disclosure: false },
    });
    expect(off).toMatchObject({ status: 400, json: { code: 'ai_disclosure_locked' } });
  });
});
