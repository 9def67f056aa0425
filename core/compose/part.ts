/**
 * Text as the body of a MIME part. Only 7 bit leaves here: a next hop without 8BITMIME (RFC 6152) then never has
 * to refuse what we wrote, and nobody on the way has a reason to rewrite it.
 */
const LINE = 76;

/** A part with its header; the body ends without a line break, which belongs to the boundary (RFC 2046 §5.1.1). */
export function textPart(subtype: 'plain' | 'html', text: string): string {
  const lines = text.replace(/\r\n?|\n/g, '\r\n');
  const encoding = encodingOf(lines);
  return (
    `Content-Type: text/${subtype}; charset=utf-8\r\nContent-Transfer-Encoding: ${encoding}\r\n\r\n` +
    `${encoded(lines, encoding)}`
  );
}

type Encoding = '7bit' | 'quoted-printable' | 'base64';

function encodingOf(text: string): Encoding {
  // `=_` begins no word of quoted-printable, so our boundaries, which hold it, can stand in no encoded part.
  if (/^[\t\r\n -~]*$/.test(text) && !/[ \t]\r\n|=_/.test(text) && !/^(?:From |[^\r\n]{77})/m.test(text))
    return '7bit';
  const foreign = text.match(/[^\t\r\n -~]/g)?.length ?? 0;
  return foreign * 5 > text.length ? 'base64' : 'quoted-printable';
}

function encoded(text: string, encoding: Encoding): string {
  if (encoding === '7bit') return text;
  if (encoding === 'quoted-printable') return quotedPrintable(text);
  const base64 = Buffer.from(text).toString('base64');
  return base64.replace(/.{76}(?=.)/g, '$&\r\n');
}

/** RFC 2045 §6.7: blanks at the end of a line and everything that is not printable ASCII is spelled. */
export function quotedPrintable(text: string): string {
  return text
    .split('\r\n')
    .map((line) => softBreaks(spelled(line)))
    .join('\r\n');
}

function spelled(line: string): string {
  if (/^(?!From )(?:[\t !-<>-~]*[!-<>-~])?$/.test(line)) return line;
  return line
    .replace(/[^\t !-<>-~]+/g, (run) =>
      [...Buffer.from(run)].map((octet) => `=${octet.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
    )
    .replace(/^From /, '=46rom ')
    .replace(/[ \t]$/, (blank) => (blank === ' ' ? '=20' : '=09'));
}

function softBreaks(line: string): string {
  if (line.length <= LINE) return line;
  let out = '';
  let at = 0;
  while (line.length - at > LINE) {
    let end = at + LINE - 1;
    // not within `=XX`
    if (line[end - 1] === '=') end -= 1;
    else if (line[end - 2] === '=') end -= 2;
    out += `${line.slice(at, end)}=\r\n`;
    at = end;
  }
  return out + line.slice(at);
}
