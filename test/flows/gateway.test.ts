/** From the client's 250 to what the next room finds: rows, audit and bell. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Client, dialogue } from '../support/dialogue.ts';
import { type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
const rung: string[] = [];

beforeAll(async () => {
  gateway = await testGateway();
  gateway.runtime.bells.answer('policy', (ids) => void rung.push(...ids));
  await gateway.mailbox('bob@ours.example');
});
afterAll(() => gateway?.close());

async function send(client: Client, count: number): Promise<string[]> {
  const ids: string[] = [];
  for (let i = 0; i < count; i++) {
    client.send('MAIL FROM:<ana@remote.example>\r\nRCPT TO:<bob@ours.example>\r\nDATA\r\n');
    for (const code of ['250', '250', '354']) await client.expect([code]);
    client.send(`Subject: ${i}\r\n\r\nx\r\n.\r\n`);
    ids.push((await client.reply())[0]!.split(' ').at(-1)!);
  }
  client.end();
  return ids;
}

test('each 250 stands for a row, its bytes, its audit row and a bell, however many come at once', async () => {
  const clients = await Promise.all(Array.from({ length: 10 }, () => Client.open(gateway.ports.mx)));
  const ids = await Promise.all(
    clients.map(async (client) => {
      await client.expect(['220']);
      client.send('EHLO client.example\r\n');
      await client.reply();
      return send(client, 20);
    }),
  );
  const told = ids.flat().sort();
  expect(new Set(told).size).toBe(200);
  expect((await gateway.messages()).map(({ id }) => id)).toEqual(told);
  const { rows } = await gateway.runtime.database.pool.query<{ id: string; actor_name: string }>(
    `select resource_id as id, actor_name from audit_events where action = 'message.accepted' order by resource_id`,
  );
  expect(rows.map(({ id }) => id)).toEqual(told);
  expect(new Set(rows.map(({ actor_name }) => actor_name))).toEqual(new Set(['127.0.0.1']));
  for (let i = 0; i < 100 && rung.length < 200; i++) await new Promise((go) => setTimeout(go, 10));
  expect([...new Set(rung)].sort()).toEqual(told);
  const metrics = await gateway.runtime.metrics.registry.metrics();
  expect(metrics).toContain('postern_messages_accepted_total{source="mx"} 200');
});

test('what is refused leaves no row and rings no bell', async () => {
  const before = rung.length;
  await dialogue(
    gateway.ports.mx,
    `S: 220
     C: EHLO client.example
     S: 250
     C: MAIL FROM:<ana@remote.example>
     S: 250
     C: RCPT TO:<bob@ours.example>
     S: 250
     C: DATA
     S: 354
     raw: A: 1\\r\\n\\r\\na\\nb\\r\\n.\\r\\n
     S: 554 5.6.0`,
  );
  expect(rung.length).toBe(before);
  expect(await gateway.messages()).toHaveLength(200);
});
