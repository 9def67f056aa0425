import { contentSha256, messageDigest } from '../mail/digest.ts';
import { type Facts, readFacts } from '../mail/facts.ts';
import { newId } from '../mail/id.ts';
import { isAsciiText } from '../mail/text.ts';
import type { Composed } from './compose.ts';
import { forwardPathsOf } from './draft.ts';

/** Facts of composed mail: also what was done to the names of its attachments. */
export interface ComposedFacts extends Facts {
  /** Names that had been written with what could mislead. */
  alteredNames?: string[];
}

/** What a composed message is in the store: its bytes, and all of its row that follows from them. */
export interface StoredForm {
  content: { id: string; sha256: Buffer; bytes: Buffer };
  forwardPaths: string[];
  smtputf8: boolean;
  body8bit: boolean;
  size: number;
  digest: string;
  internetMessageId: string;
  subject: string;
  facts: ComposedFacts;
}

/** A composed message as it is to be stored. `hostname` is ours. */
export function storedForm(
  { bytes, draft }: Composed,
  { reversePath, hostname }: { reversePath: string; hostname: string },
): StoredForm {
  const content = { id: newId(), sha256: contentSha256(bytes), bytes };
  const forwardPaths = forwardPathsOf(draft);
  const facts = readFacts(bytes, { hostname });
  const alteredNames = draft.attachments.filter(({ altered }) => altered).map(({ name }) => name);
  return {
    content,
    forwardPaths,
    smtputf8: facts.has8bitHeader || [reversePath, ...forwardPaths].some((path) => !isAsciiText(path)),
    body8bit: facts.has8bitBody,
    size: bytes.length,
    digest: messageDigest({ reversePath, forwardPaths, contentSha256: content.sha256 }),
    internetMessageId: draft.messageId,
    subject: facts.subject,
    facts: alteredNames.length > 0 ? { ...facts, alteredNames } : facts,
  };
}
