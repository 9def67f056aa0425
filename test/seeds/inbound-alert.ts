// @ts-nocheck: as published, but for the escapes of its page and the address that the page hid
// biome-ignore-all lint: as published
// biome-ignore-all format: as published
// biome-ignore-all assist: as published
import { Hono } from 'hono';

const app = new Hono<{ Bindings: { MM_API_KEY: string; PAGERDUTY_KEY: string } }>();

app.post('/webhooks/multimail/inbound', async (c) => {
  const sig = c.req.header('x-multimail-signature');
  // verify HMAC signature from webhook secret here

  const event = await c.req.json();
  if (event.type !== 'email.received') return c.json({ ok: true });

  const { from, subject, body_text, mailbox } = event.data;

  // Route alert emails from monitoring systems to PagerDuty
  if (mailbox === 'alerts@ours.example' && subject.toLowerCase().includes('critical')) {
    await fetch('https://events.pagerduty.com/v2/enqueue', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({
        routing_key: c.env.PAGERDUTY_KEY,
        event_action: 'trigger',
        payload: {
          summary: subject,
          source: from,
          severity: 'critical',
          custom_details: { body: body_text },
        },
      }),
    });
  }

  return c.json({ ok: true });
});

export default app;
