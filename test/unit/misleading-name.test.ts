import { expect, test } from 'vitest';
import { misleadingName } from '../../core/mail/misleading-name.ts';

test.each([
  ['invoice.pdf', 'application/pdf', []],
  ['photo.JPG', 'image/jpeg', []],
  ['notes', 'text/plain', []],
  ['archive.tar.gz', 'application/gzip', []],
  ['report.v2.pdf', 'application/pdf', []],
  ['letter.docx', 'application/octet-stream', []],
  ['setup.exe', 'application/octet-stream', ['may run']],
  ['Setup.EXE ', 'application/octet-stream', ['may run']],
  ['invoice.pdf.exe', 'application/octet-stream', ['ends in .exe', 'may run']],
  ['invoice.pdf      .scr', 'application/octet-stream', ['ends in .scr', 'may run', 'blanks']],
  ['budget.xlsm', 'application/octet-stream', ['may run']],
  ['page.html', 'application/pdf', ['called .html']],
  ['invoice.pdf', 'text/html', ['called .pdf']],
  ['constructor', 'constructor', []],
])('%s as %s', (name, type, marks) => {
  const said = misleadingName(name, type);
  expect(said).toEqual(marks.map((mark) => expect.stringContaining(mark)));
});
