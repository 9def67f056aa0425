import { expect, test } from 'vitest';
import { reference, undescribed } from '../../core/runtime/config-reference.ts';
import { fitsEnv, leaves, nameOf } from '../../core/runtime/config-walk.ts';

test('every key is described', () => {
  expect(undescribed()).toEqual([]);
});

test('no two keys share a variable', () => {
  const names = leaves()
    .filter(({ schema }) => fitsEnv(schema))
    .map(({ path }) => nameOf(path));
  expect(new Set(names).size).toBe(names.length);
});

test('the reference tells path, variable, kind, default and purpose, inside lists as well', () => {
  const text = reference();
  expect(text).toContain('| `mx.port` | `POSTERN_MX_PORT` | a port number from 0 to 65535 | `2525` |');
  expect(text).toMatch(
    /\| `trusted\.networks\[\]\.mailbox` \| YAML only \| an e-mail address \| required \|/,
  );
  expect(text).toMatch(/`delivery\.routes\.<name>\.password`.*Secret\./);
  for (const { path } of leaves()) expect(text).toContain(`\`${path.join('.')}\``);
});
