/** The thread that renders long texts; see rendering.ts. */
import { parentPort } from 'node:worker_threads';
import { renderMarkdown } from './markdown.ts';

parentPort?.on('message', (text: string) => parentPort?.postMessage(renderMarkdown(text)));
parentPort?.postMessage('ready');
