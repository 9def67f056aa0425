/** Every operation there is. */
import type { Operation } from './operation.ts';
import { accountOperations } from './operations/account.ts';
import { allowlistOperations } from './operations/allowlist.ts';
import { approveOperations } from './operations/approve.ts';
import { attachmentOperations } from './operations/attachments.ts';
import { auditOperations } from './operations/audit.ts';
import { cancelOperations } from './operations/cancel.ts';
import { captureOperations } from './operations/captures.ts';
import { checkpointOperations } from './operations/checkpoints.ts';
import { contactOperations } from './operations/contacts.ts';
import { domainOperations } from './operations/domains.ts';
import { emailOperations } from './operations/emails.ts';
import { exportOperations } from './operations/export.ts';
import { feedbackOperations } from './operations/feedback.ts';
import { identityOperations } from './operations/identity.ts';
import { keyOperations } from './operations/keys.ts';
import { loginOperations } from './operations/logins.ts';
import { mailboxSettingOperations } from './operations/mailbox-settings.ts';
import { mailboxOperations } from './operations/mailboxes.ts';
import { operatorOperations } from './operations/operator.ts';
import { oversightOperations } from './operations/oversight.ts';
import { proofStatusOperations } from './operations/proof-status.ts';
import { protectedResourceOperations } from './operations/protected-resource.ts';
import { queueOperations } from './operations/queue.ts';
import { queuedEmailOperations } from './operations/queued-emails.ts';
import { replyOperations } from './operations/reply.ts';
import { scheduleOperations } from './operations/schedule.ts';
import { sendOperations } from './operations/send.ts';
import { setupOperations } from './operations/setup.ts';
import { spamOperations } from './operations/spam.ts';
import { suppressionOperations } from './operations/suppression.ts';
import { tagOperations } from './operations/tags.ts';
import { threadOperations } from './operations/threads.ts';
import { unsubscribeOperations } from './operations/unsubscribe.ts';
import { upgradeOperations } from './operations/upgrade.ts';
import { usageOperations } from './operations/usage.ts';
import { waitOperations } from './operations/wait.ts';
import { webhookOperations } from './operations/webhooks.ts';

export const OPERATIONS: readonly Operation[] = [
  ...sendOperations,
  ...replyOperations,
  ...scheduleOperations,
  ...cancelOperations,
  ...emailOperations,
  ...threadOperations,
  ...tagOperations,
  ...attachmentOperations,
  ...spamOperations,
  ...waitOperations,
  ...oversightOperations,
  ...approveOperations,
  ...auditOperations,
  ...checkpointOperations,
  ...captureOperations,
  ...queueOperations,
  ...queuedEmailOperations,
  ...mailboxOperations,
  ...mailboxSettingOperations,
  ...allowlistOperations,
  ...upgradeOperations,
  ...operatorOperations,
  ...keyOperations,
  ...loginOperations,
  ...identityOperations,
  ...protectedResourceOperations,
  ...setupOperations,
  ...contactOperations,
  ...suppressionOperations,
  ...unsubscribeOperations,
  ...webhookOperations,
  ...accountOperations,
  ...usageOperations,
  ...domainOperations,
  ...feedbackOperations,
  ...proofStatusOperations,
  ...exportOperations,
];
