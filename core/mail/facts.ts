/**
 * What the header says about a message, read once at the door and kept as JSON beside the bytes.
 * Rules, reviewers and lists look at this; the body is parsed only when someone asks for it.
 */
import { isAscii } from 'node:buffer';
import { type AddressList, type NamedAddress, parseAddressList } from './address-list.ts';
import { decodeWords, fromLatin1 } from './encoded-word.ts';
import { type Field, type HeaderBlock, type HeaderFault, parseHeaders, rawValue } from './headers.ts';
import type { SenderIdentity } from './sender-identity.ts';
import { type AttachmentPart, isPlainMail, readStructure, type TextPart } from './structure.ts';
import { oneLine } from './text.ts';

export interface Facts {
  from: NamedAddress[];
  sender: NamedAddress[];
  replyTo: NamedAddress[];
  to: NamedAddress[];
  cc: NamedAddress[];
  bcc: NamedAddress[];
  /** Whether there is a Bcc or Resent-Bcc field, also one without addresses. */
  hasBcc: boolean;
  /** Names of the address fields that hold something unreadable, a group, or more than 1000 addresses together. */
  unreadable: string[];
  hasGroup: string[];
  tooManyAddresses: boolean;
  /** A display name in From reads like another address (`"ceo@corp.example" <x@y.example>`). */
  nameLooksLikeAddress: boolean;
  subject: string;
  /** With its brackets; null when missing or malformed. */
  messageId: string | null;
  hasMessageId: boolean;
  hasDate: boolean;
  /** ISO 8601; null when missing or not a date. */
  date: string | null;
  inReplyTo: string[];
  /** The first and the latest, 50 at most. */
  references: string[];
  receivedCount: number;
  /** Received fields written by a host of our name (RFC 5321 §6.3). */
  ourReceivedCount: number;
  /** `type/subtype` in lower case. */
  contentType: string | null;
  autoSubmitted: string | null;
  precedence: string | null;
  listId: string | null;
  /** Fields that may stand once and stand more often, by name (RFC 5322 §3.6). */
  duplicates: string[];
  /** `X-Postern-*` fields in order: name in lower case, value decoded and on one line. */
  control: { name: string; value: string }[];
  has8bitHeader: boolean;
  has8bitBody: boolean;
  headerFaults: HeaderFault[];
  headerBytes: number;
  /** Where files and texts lie in the body; left out for mail that is one text and nothing else. */
  attachments?: AttachmentPart[];
  texts?: TextPart[];
  /** Of mail that came in and says who answers for it. */
  senderIdentity?: SenderIdentity;
}

const SINGLE = new Set(
  `date from sender reply-to to cc bcc message-id in-reply-to references subject
   mime-version content-type content-transfer-encoding`.split(/\s+/),
);
const ADDRESS_FIELDS = ['from', 'sender', 'reply-to', 'to', 'cc', 'bcc'] as const;
const ADDRESSES = 1000;
const SUBJECT_OCTETS = 1024;
const TOKEN_OCTETS = 256;
const CONTROL_OCTETS = 4096;
const REFERENCES = 50;

/** Reads the facts. `hostname` is ours, to know our own Received fields again. */
export function readFacts(
  raw: Buffer,
  { hostname, block = parseHeaders(raw) }: { hostname: string; block?: HeaderBlock },
): Facts {
  const byName = groupByName(block.fields);
  const values = (name: string) => (byName.get(name) ?? []).map((field) => rawValue(block, field));
  const first = (name: string) => values(name)[0];
  const lists = readAddressFields(values);
  return {
    ...addressFacts(lists),
    hasBcc: byName.has('bcc') || byName.has('resent-bcc'),
    subject: readable(first('subject') ?? '', SUBJECT_OCTETS),
    messageId: messageIds(first('message-id') ?? '')[0] ?? null,
    hasMessageId: byName.has('message-id'),
    hasDate: byName.has('date'),
    date: isoDate(first('date')),
    inReplyTo: bounded(messageIds(first('in-reply-to') ?? '')),
    references: bounded(messageIds(first('references') ?? '')),
    receivedCount: byName.get('received')?.length ?? 0,
    ourReceivedCount: values('received').filter((value) => isBy(value, hostname)).length,
    contentType: token(first('content-type')),
    autoSubmitted: token(first('auto-submitted')),
    precedence: token(first('precedence')),
    listId: byName.has('list-id') ? readable(first('list-id')!, TOKEN_OCTETS) : null,
    duplicates: [...SINGLE].filter((name) => (byName.get(name)?.length ?? 0) > 1),
    control: block.fields
      .filter(({ name }) => name.startsWith('x-postern-'))
      .map((field) => ({ name: field.name, value: readable(rawValue(block, field), CONTROL_OCTETS) })),
    has8bitHeader: !isAscii(raw.subarray(0, block.bodyStart)),
    has8bitBody: !isAscii(raw.subarray(block.bodyStart)),
    headerFaults: block.faults,
    headerBytes: block.bodyStart,
    ...(isPlainMail(block) ? {} : readStructure(raw, block)),
  };
}

function groupByName(fields: Field[]): Map<string, Field[]> {
  const byName = new Map<string, Field[]>();
  for (const field of fields) {
    const same = byName.get(field.name);
    if (same === undefined) byName.set(field.name, [field]);
    else same.push(field);
  }
  return byName;
}

type AddressField = (typeof ADDRESS_FIELDS)[number];

/** Fields of one name are read as one list: whoever counts recipients sees the union (RFC 5322 allows one). */
function readAddressFields(values: (name: string) => string[]): Map<AddressField, AddressList> {
  const lists = new Map<AddressField, AddressList>();
  let left = ADDRESSES;
  for (const name of ADDRESS_FIELDS) {
    const written = values(name);
    if (name === 'bcc') written.push(...values('resent-bcc'));
    const list = union(
      written.map((value) => fromLatin1(value)),
      left,
    );
    left -= list.addresses.length;
    lists.set(name, list);
  }
  return lists;
}

function union(values: string[], limit: number): AddressList {
  const all: AddressList = { addresses: [], faults: [], hasGroup: false, tooMany: false };
  for (const value of values) {
    const list = parseAddressList(value, limit - all.addresses.length);
    all.addresses.push(...list.addresses);
    all.faults.push(...list.faults);
    all.hasGroup ||= list.hasGroup;
    all.tooMany ||= list.tooMany;
  }
  return all;
}

function addressFacts(lists: Map<AddressField, AddressList>) {
  const of = (name: AddressField) => lists.get(name)!.addresses;
  const where = (test: (list: AddressList) => boolean) =>
    ADDRESS_FIELDS.filter((name) => test(lists.get(name)!));
  return {
    from: of('from'),
    sender: of('sender'),
    replyTo: of('reply-to'),
    to: of('to'),
    cc: of('cc'),
    bcc: of('bcc'),
    unreadable: where((list) => list.faults.length > 0) as string[],
    hasGroup: where((list) => list.hasGroup) as string[],
    tooManyAddresses: where((list) => list.tooMany).length > 0,
    nameLooksLikeAddress: of('from').some(looksLikeAnother),
  };
}

/** Compared after NFKC, since a full-width `＠` looks the same. */
function looksLikeAnother({ name, address }: NamedAddress): boolean {
  const plain = name.normalize('NFKC');
  return /[^\s@]@[^\s@]/.test(plain) && plain.trim().toLowerCase() !== address.toLowerCase();
}

function readable(value: string, octets: number): string {
  return oneLine(decodeWords(fromLatin1(value)), octets);
}

/** The first word of a structured field, without parameters and comments, in lower case. */
function token(value: string | undefined): string | null {
  if (value === undefined) return null;
  const word = /^[^;(\s]*/.exec(value)![0];
  return oneLine(fromLatin1(word), TOKEN_OCTETS).toLowerCase();
}

/** Every `<…>` of the value that could be a message id (RFC 5322 §3.6.4). */
function messageIds(value: string): string[] {
  const ids: string[] = [];
  for (let open = value.indexOf('<'); open !== -1; ) {
    const next = value.indexOf('<', open + 1);
    const close = value.slice(open, Math.min(open + 1000, next === -1 ? value.length : next)).indexOf('>');
    const id = value.slice(open, open + close + 1);
    if (close > 1 && !/[\s\x00-\x1f\x7f-\xff]/.test(id)) ids.push(id);
    open = next;
  }
  return ids;
}

/** A thread is known by its root and its latest messages. */
function bounded(ids: string[]): string[] {
  return ids.length <= REFERENCES ? ids : [ids[0]!, ...ids.slice(1 - REFERENCES)];
}

function isoDate(value: string | undefined): string | null {
  if (value === undefined || value.length > 128) return null;
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? null : date.toISOString();
}

function isBy(received: string, hostname: string): boolean {
  const words = received
    .slice(0, 2048)
    .toLowerCase()
    .split(/[\s;()]+/);
  return words.some((word, i) => word === 'by' && words[i + 1] === hostname.toLowerCase());
}
