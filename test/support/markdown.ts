/** What the documents hold besides prose: blocks to copy, commands and links. */

export interface Block {
  /** The nearest heading above it. */
  section: string;
  language: string;
  text: string;
}

/** Fenced blocks, in order. */
export function blocks(markdown: string): Block[] {
  const found: Block[] = [];
  let section = '';
  let open: { language: string; lines: string[] } | undefined;
  for (const line of markdown.split('\n')) {
    const fence = /^```(\w*)$/.exec(line);
    if (open !== undefined && fence !== null) {
      found.push({ section, language: open.language, text: open.lines.join('\n') });
      open = undefined;
    } else if (open !== undefined) open.lines.push(line);
    else if (fence !== null) open = { language: fence[1]!, lines: [] };
    else section = /^#+ (.*)$/.exec(line)?.[1] ?? section;
  }
  if (open !== undefined) throw new Error(`a block under "${section}" has no end`);
  return found;
}

/** All that is code: fenced and indented blocks by line, and what stands between backticks. */
export function code(markdown: string): string[] {
  const fenced = blocks(markdown).flatMap(({ text }) => text.replaceAll('\\\n', ' ').split('\n'));
  const prose = markdown.replace(/^```[\s\S]*?^```$/gm, '');
  const indented = prose.split('\n').filter((line) => line.startsWith('    '));
  const inline = [...prose.matchAll(/`([^`]+)`/g)].map(([, text]) => text!.replaceAll(/\s+/g, ' '));
  return [...fenced, ...indented, ...inline].map((text) => text.trim());
}

/** The words of every `postern …` in it: up to a comment, a pipe or the end. */
export function commands(markdown: string): string[][] {
  return code(markdown)
    .flatMap((text) => [...text.matchAll(/(?:^|[;(] ?|\brun --rm \w+ )postern ([^#|;)…]*)/g)])
    .map(([, words]) => words!.trim().match(/'[^']*'|\S+/g) ?? []);
}

/** Links to other places in this repository: the file, and the heading in it. */
export function links(markdown: string): { file: string; anchor: string }[] {
  return [...markdown.matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!)
    .filter((target) => !/^https?:/.test(target))
    .map((target) => ({ file: target.split('#')[0]!, anchor: target.split('#')[1] ?? '' }));
}

/** The anchors that headings have, as code hosts make them. */
export function anchors(markdown: string): string[] {
  return [...markdown.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title!
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}
