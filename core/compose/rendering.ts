/**
 * Rendering that cannot keep anybody waiting. A short text is rendered where it is asked for; a longer one on a
 * thread of its own, which is ended when it takes too long (some texts make a reader of Markdown work for minutes).
 *
 *   short ─▶ renderMarkdown               long ─▶ queue ─▶ thread ─▶ HTML
 *                                                   └ full, too slow, broken ─▶ the text as it stands
 */
import { Worker } from 'node:worker_threads';
import { preformatted } from './html.ts';
import { renderMarkdown } from './markdown.ts';

// The worst of this length takes a few hundredths of a second.
const SHORT = 2_000;
// Ten times what the longest honest text takes. A thread that has to load first gets its own time for that.
const LIMIT_MS = 3_000;
const LOAD_MS = 15_000;
const WAITING = 16;
const IDLE_MS = 30_000;

interface Job {
  text: string;
  done: (html: string | null) => void;
}

const jobs: Job[] = [];
let working = false;
let thread: Worker | undefined;
let idle: NodeJS.Timeout | undefined;

/** HTML of Markdown. What cannot be rendered in time becomes its own text, preformatted. */
export async function render(text: string): Promise<string> {
  const html = text.length <= SHORT ? renderMarkdown(text) : await inThread(text);
  return html ?? preformatted(text);
}

async function inThread(text: string): Promise<string | null> {
  if (jobs.length >= WAITING) return null;
  return new Promise((done) => {
    jobs.push({ text, done });
    if (!working) void work();
  });
}

async function work(): Promise<void> {
  working = true;
  clearTimeout(idle);
  for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) job.done(await renderOne(job.text));
  working = false;
  idle = setTimeout(end, IDLE_MS).unref();
}

async function renderOne(text: string): Promise<string | null> {
  if (thread === undefined) {
    thread = new Worker(new URL('./render-thread.ts', import.meta.url), {
      resourceLimits: { maxOldGenerationSizeMb: 256 },
    });
    // What it says while it ends is of no use any more.
    thread.on('error', () => {});
    if ((await answerOf(thread, LOAD_MS)) !== 'ready') return null;
  }
  thread.postMessage(text);
  return answerOf(thread, LIMIT_MS);
}

/** What the thread says next; null, and the end of it, when it says nothing in time or cannot go on. */
function answerOf(worker: Worker, limitMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const settle = (answer: string | null) => {
      clearTimeout(timer);
      worker.off('message', settle).off('exit', broken);
      worker.unref();
      resolve(answer);
    };
    const broken = () => {
      end();
      settle(null);
    };
    const timer = setTimeout(broken, limitMs);
    worker.ref();
    worker.on('message', settle).on('exit', broken);
  });
}

function end(): void {
  const ending = thread;
  thread = undefined;
  void ending?.terminate();
}
