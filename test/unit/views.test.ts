import { expect, test } from 'vitest';
import { summaryOf } from '../../api/views/emails.ts';
import type { MessageFacts } from '../../core/store/messages.ts';

const list = (addresses: string[]) => addresses.map((address) => ({ address, name: '' }));

/** What is told of a message with this envelope and this header. */
function told(direction: 'inbound' | 'outbound', forwardPaths: string[], to: string[], cc: string[] = []) {
  const message = {
    direction,
    forwardPaths,
    facts: { from: list(['agent@ours.example']), to: list(to), cc: list(cc) },
    state: 'relayed',
    recipients: [],
    createdAt: new Date(0),
    changedAt: new Date(0),
    sendAt: null,
  } as unknown as MessageFacts;
  const { to: shown, to_addresses } = summaryOf(message);
  expect(to_addresses).toEqual(shown);
  return shown;
}

test.each([
  ['To alone', ['a@x.example'], ['a@x.example'], [], ['a@x.example']],
  [
    'Cc and Bcc beside it',
    ['a@x.example', 'c@x.example', 'b@x.example'],
    ['a@x.example'],
    ['c@x.example'],
    ['a@x.example'],
  ],
  ['another spelling in the header', ['a@x.example'], ['A@X.example'], [], ['a@x.example']],
  ['somebody in To who gets nothing', ['a@x.example'], ['a@x.example', 'z@x.example'], [], ['a@x.example']],
  ['Cc and a blind copy, and no To', ['c@x.example', 'b@x.example'], [], ['c@x.example'], []],
  [
    'a list in To that gets nothing, and Cc',
    ['c@x.example', 'b@x.example'],
    ['l@x.example'],
    ['c@x.example'],
    ['l@x.example'],
  ],
  ['nobody named who gets it', ['b@x.example'], ['l@x.example'], [], ['b@x.example']],
  ['nobody named at all', ['b@x.example'], [], [], ['b@x.example']],
])('of mail that leaves, with %s', (_, paths, to, cc, shown) => {
  expect(told('outbound', paths, to, cc)).toEqual(shown);
});

test('mail that came is to whom its header says, else to the mailbox', () => {
  expect(told('inbound', ['agent@ours.example'], ['list@x.example'], ['agent@ours.example'])).toEqual([
    'list@x.example',
  ]);
  expect(told('inbound', ['agent@ours.example'], [])).toEqual(['agent@ours.example']);
});
