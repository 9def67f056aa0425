/** `postern serve`: which rooms run in this process. */
import type { Command } from 'commander';
import { command } from '../command.ts';
import { misuse } from '../output.ts';
import { ROOMS, type RoomName, serve } from '../serve.ts';
import type { Common } from '../settings.ts';
import { readWord } from '../words.ts';

interface ServeOptions extends Common {
  quickstart?: boolean;
}

export function addServeCommand(program: Command): void {
  command(program, 'serve [rooms...]', `run rooms: ${ROOMS.join(', ')}, or all`)
    .option('--quickstart', 'make a mailbox, keys and a login at first start, and tell how to try them')
    .action(async (words: string[], options: ServeOptions) => {
      const rooms = chosen(words);
      if (options.quickstart === true && rooms.length < ROOMS.length)
        throw misuse('--quickstart needs all rooms', 'run "postern serve all --quickstart"');
      await serve(rooms, options);
    });
}

function chosen(words: string[]): RoomName[] {
  if (words.length === 0 || (words.length === 1 && words[0] === 'all')) return [...ROOMS];
  const named = words.map((word) => readWord('room', word, ROOMS));
  return ROOMS.filter((room) => named.includes(room));
}
