import { afterAll, beforeAll, expect, test } from 'vitest';
import { revokeLogin } from '../../core/store/login-accounts.ts';
import { deleteMailbox } from '../../core/store/mailbox-closing.ts';
import { Client } from '../support/dialogue.ts';
import { PASSWORD, type TestGateway, testGateway } from '../support/gateway.ts';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await testGateway({ submission: { allow_plaintext_auth_from_loopback: true } });
  await gateway.runtime.listening.ready();
});
afterAll(() => gateway.close());

const OPERATOR = { type: 'system', id: null, name: 'test' } as const;

async function loggedIn(name: string): Promise<Client> {
  const client = await Client.open(gateway.ports.submission);
  await client.expect(['220']);
  await client.act('C: EHLO client.example');
  await client.reply();
  await client.act(`C64: ${name} ${PASSWORD}`);
  await client.expect(['235']);
  return client;
}

async function beginData(client: Client, address: string): Promise<void> {
  await client.act(`C: MAIL FROM:<${address}>`);
  await client.expect(['250']);
  await client.act('C: RCPT TO:<ana@remote.example>');
  await client.expect(['250']);
  await client.act('C: DATA');
  await client.expect(['354']);
  await client.act(`C: From: <${address}>`);
  await client.act('C: Subject: x');
  await client.act('C:');
}

/** Until each gateway has heard it, which takes a moment. */
const heard = () => new Promise((go) => setTimeout(go, 300));

test('mail that was under way when its login was revoked is refused at its final dot', async () => {
  const id = await gateway.login('dot', await gateway.mailbox('dot@ours.example'));
  const client = await loggedIn('dot');
  await beginData(client, 'dot@ours.example');
  await revokeLogin(gateway.runtime.database.pool, id, OPERATOR);
  await heard();
  await client.act('C: .');
  await client.expect(['535 5.7.8']);
  await client.act('C: MAIL FROM:<dot@ours.example>');
  await client.expect(['535 5.7.8']);
  client.end();
  expect((await gateway.messages()).filter(({ mailbox }) => mailbox === 'dot@ours.example')).toEqual([]);
});

test('so is mail of a mailbox that was deleted, and nobody logs in for it again', async () => {
  const mailbox = await gateway.mailbox('gone@ours.example');
  await gateway.login('gone', mailbox);
  const client = await loggedIn('gone');
  await beginData(client, 'gone@ours.example');
  expect(await deleteMailbox(gateway.runtime.database, mailbox, OPERATOR)).toBe(true);
  await heard();
  await client.act('C: .');
  await client.expect(['535 5.7.8']);
  client.end();
  await expect(loggedIn('gone')).rejects.toThrow('535');
});

test('other sessions of other logins go on', async () => {
  const revoked = await gateway.login('one', await gateway.mailbox('one@ours.example'));
  await gateway.login('two', await gateway.mailbox('two@ours.example'));
  const client = await loggedIn('two');
  await beginData(client, 'two@ours.example');
  await revokeLogin(gateway.runtime.database.pool, revoked, OPERATOR);
  await heard();
  await client.act('C: .');
  await client.expect(['250']);
  client.end();
});
