/** Mail that nobody sent: Postern's own reports, notices and copies. */
import { isAscii } from 'node:buffer';
import { messageDigest } from '../mail/digest.ts';
import { readFacts } from '../mail/facts.ts';
import { newId } from '../mail/id.ts';
import { isAsciiText } from '../mail/text.ts';
import type { NewContent, NewMessage } from './new-message.ts';

type Form = Pick<
  NewMessage,
  'smtputf8' | 'body8bit' | 'contentId' | 'size' | 'internetMessageId' | 'subject' | 'facts'
> & { contentSha256: Buffer };

export interface OwnMessage extends Form, Pick<NewMessage, 'mailboxId' | 'aboutId' | 'actor'> {
  kind: Exclude<NewMessage['kind'], 'mail'>;
  /** Made when left out. */
  id?: string;
  to: string;
  /** It lies in `mailboxId` at once; else it leaves from there. */
  isLocal: boolean;
  effectiveMode?: NewMessage['effectiveMode'];
}

/**
 * A message of Postern's own, past every gate. Its reverse-path is null, so that nobody answers it or reports about it
 * (RFC 5321 §4.5.5, RFC 3834 §3.3).
 */
export function ownMessage(own: OwnMessage): NewMessage {
  const { id = newId(), to, isLocal, contentSha256, effectiveMode = null, ...rest } = own;
  const reversePath = '';
  const forwardPaths = [to];
  return {
    ...rest,
    id,
    direction: isLocal ? 'inbound' : 'outbound',
    source: 'postern',
    state: isLocal ? 'available' : 'queued',
    composerId: null,
    reversePath,
    forwardPaths,
    digest: messageDigest({ reversePath, forwardPaths, contentSha256 }),
    tags: {},
    agent: null,
    requestedMode: null,
    effectiveMode,
    sendAt: null,
    gateTiming: null,
  };
}

/** What follows from bytes that were just composed, for this recipient. `hostname` is ours. */
export function formOf({ id, bytes, sha256 }: NewContent, to: string, hostname: string): Form {
  const facts = readFacts(bytes, { hostname });
  return {
    smtputf8: !isAsciiText(to),
    body8bit: !isAscii(bytes),
    contentId: id,
    size: bytes.length,
    contentSha256: sha256,
    internetMessageId: facts.messageId,
    subject: facts.subject,
    facts,
  };
}
