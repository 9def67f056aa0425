import { expect, test } from 'vitest';
import { approvalToken, isApprovalToken, readApprovalToken } from '../../core/mail/approval-token.ts';
import { newId } from '../../core/mail/id.ts';

const secret = Buffer.alloc(32, 1);
const digest = 'ab'.repeat(32);

test('a token is good for its message with its digest, under its secret, and for nothing else', () => {
  const [id, other] = [newId(), newId()];
  const read = readApprovalToken(approvalToken(secret, id, digest))!;
  expect(isApprovalToken(secret, read, { id, digest })).toBe(true);
  expect(isApprovalToken(secret, read, { id, digest: 'cd'.repeat(32) })).toBe(false);
  expect(isApprovalToken(secret, read, { id: other, digest })).toBe(false);
  expect(isApprovalToken(secret, { ...read, messageId: other }, { id: other, digest })).toBe(false);
  expect(isApprovalToken(Buffer.alloc(32, 2), read, { id, digest })).toBe(false);
});

test.each([
  '',
  'x',
  newId(),
  `${newId()}.`,
  `${newId()}.short`,
  `${newId()}.${'!'.repeat(32)}`,
  `${newId()}.${'A'.repeat(33)}`,
])('no token: %s', (text) => {
  expect(readApprovalToken(text)).toBeUndefined();
});
