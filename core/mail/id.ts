/**
 * Ids of everything we store: ULIDs, 26 characters of Crockford base 32, 48 bits of time and 80 of chance.
 *
 *   01JD8Z6T4M  3Q8VJ0RBX4N2C7WK
 *   time (ms)   chance; within one millisecond the last one plus one
 *
 * An id is made for every message, recipient and audit row, so chance is drawn from a pool
 * and the time is spelled once a millisecond.
 */
import { randomFillSync } from 'node:crypto';

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const TIME_LENGTH = 10;
const CHANCE_LENGTH = 16;
const ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/;

const pool = Buffer.alloc(CHANCE_LENGTH * 256);
let drawn = pool.length;

let lastTime = -1;
let timeText = '';
const chance = new Uint8Array(CHANCE_LENGTH);

/**
 * A new id, greater than every id this process made before, also when the clock steps back.
 * Ids of different processes sort by their millisecond.
 */
export function newId(now: number = Date.now()): string {
  if (now > lastTime) startMillisecond(now);
  else if (!increment()) startMillisecond(lastTime + 1);
  let text = timeText;
  for (let i = 0; i < CHANCE_LENGTH; i++) text += ALPHABET[chance[i]!];
  return text;
}

/** Whether the text is an id as `newId` writes it (upper case only: one id, one spelling). */
export function isId(text: string): boolean {
  return text.length === TIME_LENGTH + CHANCE_LENGTH && ID.test(text);
}

/** The least id of a millisecond: what was made before it is smaller, what was made from it on is not. */
export function firstIdAt(ms: number): string {
  return timeDigits(Math.min(Math.max(0, ms), 2 ** 48 - 1)) + '0'.repeat(CHANCE_LENGTH);
}

function timeDigits(time: number): string {
  let text = '';
  for (let i = 0, rest = time; i < TIME_LENGTH; i++, rest = Math.floor(rest / 32)) {
    text = ALPHABET[rest % 32] + text;
  }
  return text;
}

function startMillisecond(time: number): void {
  lastTime = time;
  timeText = timeDigits(time);
  if (drawn === pool.length) {
    randomFillSync(pool);
    drawn = 0;
  }
  for (let i = 0; i < CHANCE_LENGTH; i++) chance[i] = pool[drawn++]! & 31;
}

/** Adds one to the 80 bits; false when they overflow, which leaves them all zero. */
function increment(): boolean {
  for (let i = CHANCE_LENGTH - 1; i >= 0; i--) {
    if (chance[i]! < 31) {
      chance[i]!++;
      return true;
    }
    chance[i] = 0;
  }
  return false;
}
