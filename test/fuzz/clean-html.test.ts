import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cleaned, washed } from '../../core/compose/clean-html.ts';
import { renderMarkdown } from '../../core/compose/markdown.ts';

const PIECES = [
  ...[
    '# ',
    '\n\n',
    '- ',
    '1. ',
    '7) ',
    '> ',
    '**',
    '*',
    '_',
    '`',
    '```\n',
    '---\n',
    '===\n',
    '~~',
    '- [ ] t\n',
  ],
  ...[
    'a b c',
    '"',
    "'",
    '&',
    '<',
    '>',
    '&lt;',
    '&copy;',
    '&amp;quot;',
    '\\',
    'é',
    '\u202e',
    '\n',
    '\n    code\n',
  ],
  ...[
    '<script>',
    '<b x="y">',
    '</p>',
    '<!-- ',
    '[y](javascript:x)',
    '[z](<http://e/ "q\'>)',
    '[l](HTTPS://X/a)',
  ],
  ...['[x](https://a.b/?a=1&b=2)', '![i](http://i/x.png "t")', '[m](https://x/\u00a0y)', '<https://x.y/é>'],
  ...['mailto:a@b.c', 'https://www.x.com/a"b', '| a | b |\n|---|:-:|\n| c | d |\n'],
];

test('what is let past the sanitizer is what the sanitizer would have left', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }), (pieces) => {
      const html = renderMarkdown(pieces.join(''));
      if (html !== null) expect(washed(html)).toBe(html);
    }),
    { numRuns: 3_000 },
  );
});

test.each([
  '<p onclick="x">a</p>',
  '<a href="javascript:x">a</a>',
  '<a href="https://x" onclick="y">a</a>',
  '<<p>script>a',
  '<scr<br>ipt>',
  '<p>&#x3c;script&#x3e;</p>',
  '<a href="https://x"y>a</a>',
])('%s goes through the sanitizer', (html) => {
  expect(cleaned(html)).toBe(washed(html));
  expect(cleaned(html)).not.toBe(html);
});
