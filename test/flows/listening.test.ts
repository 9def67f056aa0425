import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabase } from '../../core/store/database.ts';
import { openListening, tellProcesses } from '../../core/store/listening.ts';
import { freshDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());

const SILENT = { warn() {} };

/** Asks until it is so. */
async function eventually(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    if (tries > 500) throw new Error('it never became so');
    await new Promise((go) => setTimeout(go, 20));
  }
}

test('what is told in a transaction is heard once it is committed, and nothing of one that is rolled back', async () => {
  const db = openDatabase({ url: database.url, poolSize: 2 });
  const listening = openListening(database.url, SILENT);
  const heard: string[] = [];
  listening.on('one', (text) => heard.push(text));
  await listening.ready();
  await db
    .transaction(async (inside) => {
      await tellProcesses(inside, 'one', 'undone');
      throw new Error('no');
    })
    .catch(() => {});
  await db.transaction((inside) => tellProcesses(inside, 'one', 'done'));
  await eventually(() => heard.length > 0);
  expect(heard).toEqual(['done']);
  await listening.close();
  await db.close();
});

test('a channel added later is heard too, and a handler that stopped hears nothing more', async () => {
  const db = openDatabase({ url: database.url, poolSize: 2 });
  const listening = openListening(database.url, SILENT);
  const heard: string[] = [];
  const stop = listening.on('one', (text) => heard.push(`one ${text}`));
  await listening.ready();
  stop();
  listening.on('two', (text) => heard.push(`two ${text}`));
  await listening.ready();
  await tellProcesses(db.pool, 'one', 'a');
  await tellProcesses(db.pool, 'two', 'b');
  await eventually(() => heard.length > 0);
  expect(heard).toEqual(['two b']);
  await listening.close();
  await db.close();
});

test('who asks late to be told when we listen is told as well, behind what was asked for before', async () => {
  const db = openDatabase({ url: database.url, poolSize: 2 });
  const listening = openListening(database.url, SILENT);
  await listening.ready();
  const heard: string[] = [];
  listening.on('late', (text) => heard.push(text));
  listening.onReconnect(() => {
    heard.push('listening');
    void tellProcesses(db.pool, 'late', 'told');
  });
  await eventually(() => heard.length > 1);
  expect(heard).toEqual(['listening', 'told']);
  await listening.close();
  await db.close();
});

test('a connection that was lost comes back by itself, and says so before it is relied upon', async () => {
  const db = openDatabase({ url: database.url, poolSize: 2 });
  const listening = openListening(database.url, SILENT);
  const heard: string[] = [];
  let begun = 0;
  listening.onReconnect(() => {
    begun += 1;
  });
  listening.on('one', (text) => heard.push(text));
  await listening.ready();
  expect(begun).toBe(1);
  const killer = new pg.Client({ connectionString: database.url });
  await killer.connect();
  await killer.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'postern listening' and datname = current_database()`,
  );
  await killer.end();
  await eventually(() => begun === 2);
  await listening.ready();
  await tellProcesses(db.pool, 'one', 'again');
  await eventually(() => heard.length > 0);
  expect(heard).toEqual(['again']);
  await listening.close();
  await db.close();
});
