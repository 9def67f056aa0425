/**
 * The addresses in a header field (RFC 5322 §3.4), read in one pass.
 *
 *   "Ana, of Sales" <ana@x.example> (on leave), bob@y.example, Friends: c@z.example;
 *    name            address         ignored     address        group, depth 1
 *
 * Only what stands as an address is one: comments, names and encoded words never become
 * one (RFC 2047 §5). What cannot be read is a fault, never a guess.
 */
import { type AddressFault, parseAddress } from './address.ts';
import { decodeWords } from './encoded-word.ts';
import { oneLine } from './text.ts';

export interface NamedAddress {
  /** Canonical. */
  address: string;
  /** The display name, decoded, on one line; `''` when there is none. */
  name: string;
}

export interface AddressList {
  addresses: NamedAddress[];
  faults: AddressFault[];
  hasGroup: boolean;
  /** More than the limit; what follows was not read. */
  tooMany: boolean;
}

const NAME_OCTETS = 256;
const ADDRESSES = 1000;
const LITERAL_CHARACTERS = 64;
const SPECIAL = /[\s(),:;<"[]/g; // where a run of other characters ends

interface Word {
  text: string;
  quoted: boolean;
}

/** Reads an unfolded address-list field. Time grows with its length, whatever it holds. */
export function parseAddressList(text: string, limit: number = ADDRESSES): AddressList {
  return new ListReader(text, limit).read();
}

class ListReader {
  readonly #text: string;
  readonly #limit: number;
  readonly #addresses: NamedAddress[] = [];
  readonly #faults = new Set<AddressFault>();
  #at = 0;
  #words: Word[] = [];
  #angle: string | undefined;
  #inGroup = false;
  #hasGroup = false;
  #tooMany = false;

  constructor(text: string, limit: number) {
    this.#text = text;
    this.#limit = limit;
  }

  read(): AddressList {
    while (this.#at < this.#text.length && !this.#tooMany) this.#step(this.#text[this.#at]!);
    this.#finishMailbox();
    if (this.#inGroup) this.#faults.add('syntax');
    return {
      addresses: this.#addresses,
      faults: [...this.#faults],
      hasGroup: this.#hasGroup,
      tooMany: this.#tooMany,
    };
  }

  #step(char: string): void {
    if (char === '(') this.#skipComment();
    else if (char === '"') this.#readQuoted();
    else if (char === '<') this.#readAngle();
    else if (char === ',') this.#endMailbox();
    else if (char === ':') this.#beginGroup();
    else if (char === ';') this.#endGroup();
    else if (/\s/.test(char)) this.#at++;
    else this.#readWord();
  }

  /** Comments nest (RFC 5322 §3.2.2); a counter, since a stack is what attackers fill. */
  #skipComment(): void {
    let depth = 0;
    for (; this.#at < this.#text.length; this.#at++) {
      const char = this.#text[this.#at];
      if (char === '\\') this.#at++;
      else if (char === '(') depth++;
      else if (char === ')' && --depth === 0) break;
    }
    if (depth > 0) this.#faults.add('syntax');
    this.#at++;
  }

  #readQuoted(): void {
    const start = ++this.#at;
    let escaped = false;
    while (this.#at < this.#text.length && this.#text[this.#at] !== '"') {
      if (this.#text[this.#at] === '\\') {
        escaped = true;
        this.#at++;
      }
      this.#at++;
    }
    if (this.#at >= this.#text.length) this.#faults.add('syntax');
    const inside = this.#text.slice(start, this.#at);
    this.#words.push({ text: escaped ? inside.replace(/\\(.)/gs, '$1') : inside, quoted: true });
    this.#at++;
  }

  #readAngle(): void {
    const end = this.#text.indexOf('>', this.#at);
    const inside = this.#text.slice(this.#at + 1, end === -1 ? undefined : end);
    if (end === -1 || this.#angle !== undefined) this.#faults.add('syntax');
    this.#angle ??= inside.trim();
    this.#at = end === -1 ? this.#text.length : end + 1;
  }

  #readWord(): void {
    // A domain literal may hold colons; the address parser refuses it whole.
    const ahead = this.#text.slice(this.#at, this.#at + LITERAL_CHARACTERS);
    SPECIAL.lastIndex = this.#at + 1 + (ahead.startsWith('[') ? Math.max(0, ahead.indexOf(']')) : 0);
    const end = SPECIAL.exec(this.#text)?.index ?? this.#text.length;
    const word = this.#text.slice(this.#at, end);
    const last = this.#words.at(-1);
    if (this.#angle !== undefined) this.#faults.add('syntax'); // words behind <address>
    if (word.startsWith('[') && last?.text.endsWith('@')) last.text += word;
    else this.#words.push({ text: word, quoted: false });
    this.#at = end;
  }

  #endMailbox(): void {
    this.#finishMailbox();
    this.#at++;
  }

  #beginGroup(): void {
    const route = this.#words.some(({ text, quoted }) => !quoted && text.includes('@'));
    if (route) this.#faults.add('route');
    else if (this.#inGroup || this.#words.length === 0 || this.#angle !== undefined) {
      this.#faults.add('syntax');
    }
    this.#inGroup = true;
    this.#hasGroup = true;
    this.#words = [];
    this.#angle = undefined;
    this.#at++;
  }

  #endGroup(): void {
    this.#finishMailbox();
    if (!this.#inGroup) this.#faults.add('syntax');
    this.#inGroup = false;
    this.#at++;
  }

  #finishMailbox(): void {
    const words = this.#words;
    const angle = this.#angle;
    this.#words = [];
    this.#angle = undefined;
    if (angle === undefined && words.length === 0) return; // an empty place in the list is allowed
    const bare = words.length === 1 && !words[0]!.quoted ? words[0]!.text : undefined;
    const written = angle ?? bare;
    if (written === undefined) return void this.#faults.add('syntax');
    const parsed = parseAddress(written, { smtputf8: true });
    if (!parsed.ok) return void this.#faults.add(parsed.fault);
    if (this.#addresses.length === this.#limit) this.#tooMany = true;
    else this.#addresses.push({ address: parsed.address, name: angle === undefined ? '' : nameOf(words) });
  }
}

function nameOf(words: Word[]): string {
  const phrase = words.map(({ text }) => text.slice(0, 4 * NAME_OCTETS)).join(' ');
  return oneLine(decodeWords(phrase), NAME_OCTETS);
}
