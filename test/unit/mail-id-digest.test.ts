import { expect, test } from 'vitest';
import { contentSha256, messageDigest } from '../../core/mail/digest.ts';
import { isId, newId } from '../../core/mail/id.ts';

test('ids sort in the order they were made, also within a millisecond and when the clock steps back', () => {
  const now = 4_000_000_000_000;
  const ids = [
    newId(now),
    ...Array.from({ length: 5000 }, () => newId(now)),
    newId(now - 60_000),
    newId(now + 1),
  ];
  expect([...ids].sort()).toEqual(ids);
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.every(isId)).toBe(true);
});

test('an id spells its time as ULIDs do', () => {
  expect(newId(4_500_000_000_000).slice(0, 10)).toBe('042YYEDJ00');
});

test.each([
  '',
  '01ARZ3NDEKTSV4RRFFQ69G5FA',
  '81ARZ3NDEKTSV4RRFFQ69G5FAV',
  '01arz3ndektsv4rrffq69g5fav',
  '01ARZ3NDEKTSV4RRFFQ69G5FAI',
])('"%s" is no id', (text) => expect(isId(text)).toBe(false));

const content = contentSha256(Buffer.from('hello'));
const base = {
  reversePath: 'a@x.example',
  forwardPaths: ['b@x.example', 'c@x.example'],
  contentSha256: content,
};

test('the digest does not depend on the order or repetition of recipients', () => {
  const again = { ...base, forwardPaths: ['c@x.example', 'b@x.example', 'c@x.example'] };
  expect(messageDigest(again)).toBe(messageDigest(base));
  expect(messageDigest(base)).toMatch(/^[0-9a-f]{64}$/);
});

test.each([
  ['sender', { ...base, reversePath: 'a@y.example' }],
  ['recipient added', { ...base, forwardPaths: [...base.forwardPaths, 'v@evil.example'] }],
  [
    'recipient moved to the sender',
    { ...base, reversePath: 'a@x.exampleb@x.example', forwardPaths: ['c@x.example'] },
  ],
  ['recipients joined', { ...base, forwardPaths: ['b@x.examplec@x.example'] }],
  ['content', { ...base, contentSha256: contentSha256(Buffer.from('hello!')) }],
])('another %s is another digest', (_, other) => {
  expect(messageDigest(other)).not.toBe(messageDigest(base));
});
