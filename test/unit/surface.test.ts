/** The whole surface that programs know, written down once more by hand: nothing of it may get lost. */
import { expect, test } from 'vitest';
import { HOSTED_TOOLS } from '../../api/dialects/hosted.ts';
import { routeKey, routesOf } from '../../api/http/routes.ts';
import { OPERATIONS } from '../../api/registry.ts';

const M = '/v1/mailboxes/:mailbox_id';
const E = `${M}/emails/:email_id`;

const PATHS = `
POST /v1/mailboxes
GET /v1/mailboxes
GET ${M}
PATCH ${M}
PATCH ${M}/configure
DELETE ${M}
POST ${M}/request-upgrade
POST ${M}/upgrade
GET ${M}/allowlist
POST ${M}/allowlist
DELETE ${M}/allowlist/:entry_id
GET ${M}/emails
GET ${E}
PATCH ${E}
GET ${E}/attachments/:filename
GET ${E}/attachments/:filename/url
POST ${E}/cancel
PATCH ${E}/schedule
PUT ${E}/tags
GET ${E}/tags
DELETE ${E}/tags/:key
GET ${M}/threads/:thread_id
GET /v1/emails
POST /v1/emails/:email_id/report-spam
POST /v1/emails/:email_id/not-spam
POST ${M}/send
POST ${M}/reply/:email_id
GET /v1/oversight/pending
GET /v1/oversight/emails/:email_id
POST /v1/oversight/edit
POST /v1/oversight/decide
GET /v1/approve/:token
POST /v1/approve/:token
POST /v1/operator/start-session
POST /v1/operator/verify-session
POST /v1/operator/end-session
GET /v1/operator/session
POST /v1/contacts
GET /v1/contacts
DELETE /v1/contacts/:contact_id
GET /v1/suppression
DELETE /v1/suppression/:email_address
POST /v1/webhooks
GET /v1/webhooks
GET /v1/webhooks/:webhook_id
PATCH /v1/webhooks/:webhook_id
DELETE /v1/webhooks/:webhook_id
GET /v1/webhook-deliveries
POST /v1/webhook-deliveries/:delivery_id/replay
GET /v1/api-keys
POST /v1/api-keys
PATCH /v1/api-keys/:key_id
DELETE /v1/api-keys/:key_id
GET /v1/account
PATCH /v1/account
DELETE /v1/account
GET /v1/usage
GET /v1/audit-log
GET /v1/audit-log/:entry_id
GET /v1/audit-log/export
GET /v1/audit-checkpoints
GET /v1/export
POST /v1/domains
GET /v1/domains
GET /v1/domains/:domain_id
DELETE /v1/domains/:domain_id
POST /v1/domains/:domain_id/verify
POST /v1/emails/:email_id/settle
POST /v1/feedback
GET /v1/unsubscribe/:token
POST /v1/unsubscribe/:token
GET /.well-known/multimail-signing-key
GET /.well-known/reputation/:hash
POST /v1/verify
GET /verify
GET /.well-known/oauth-protected-resource
GET /v1/proof-status
POST /v1/send_email
GET /v1/list_pending
POST /v1/cancel_message
GET /v1/check_inbox
GET /v1/read_email
POST /v1/reply_email
POST /v1/decide_email
POST /v1/emails/send
POST /v1/emails/:email_id/reply
POST /v1/emails/:email_id/decide
POST /v1/emails/:email_id/tag
GET /v1/emails/inbox
GET /v1/emails/pending
GET /v1/emails/thread/:thread_id
GET /v1/emails/:email_id
POST /v1/send
POST /v1/create_mailbox
POST ${E}/reply
`;

const TOOLS = `
send_email check_inbox read_email reply_email get_thread download_attachment cancel_message edit_scheduled_email
wait_for_email get_tags set_tags delete_tag list_pending decide_email manage_upgrade list_allowlist add_allowlist_entry
remove_allowlist_entry list_mailboxes configure_mailbox update_mailbox create_mailbox delete_mailbox get_account
update_account delete_account get_usage upgrade_plan cancel_subscription get_billing_portal request_challenge
create_account resend_confirmation activate_account setup_multimail list_api_keys create_api_key revoke_api_key
get_audit_log search_contacts add_contact delete_contact manage_spam_status list_spam list_suppression
remove_suppression create_webhook list_webhooks delete_webhook report_issue`;

test('every path is answered by an operation', () => {
  const known = new Set(routesOf(OPERATIONS).map(({ method, path }) => routeKey(method, path)));
  const wanted = PATHS.trim().split('\n');
  expect(wanted.length).toBeGreaterThan(90);
  const missing = wanted.filter((line) => {
    const [method, path] = line.split(' ');
    return !known.has(routeKey(method!, path!));
  });
  expect(missing).toEqual([]);
});

test('there are the fifty tools, and no other', () => {
  const known = OPERATIONS.filter(({ tool }) => tool !== undefined).map(({ name }) => name);
  const all = [...known, ...HOSTED_TOOLS.map(({ name }) => name)];
  const wanted = TOOLS.trim().split(/\s+/);
  expect(wanted).toHaveLength(50);
  expect(all.sort()).toEqual(wanted.sort());
});
