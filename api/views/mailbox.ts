/** A mailbox as programs see it. */
import { z } from 'zod';
import type { MailboxFacts } from '../../core/store/accounts.ts';

const flag = z.number().int().min(0).max(1);

export const Mailbox = z.object({
  id: z.string(),
  tenant_id: z.string(),
  address: z.string(),
  display_name: z.string().nullable(),
  oversight_mode: z.string(),
  auto_cc: z.string().nullable(),
  auto_bcc: z.string().nullable(),
  forward_inbound: flag,
  webhook_url: z.string().nullable(),
  oversight_webhook_url: z.string().nullable(),
  signature_block: z.string().nullable(),
  created_at: z.number(),
  is_active: flag,
  mcp_configured: flag,
  default_gate_timing: z.string(),
  scheduling_enabled: flag,
  ai_disclosure: flag,
  hold_expiry_hours: z.number(),
});

/** `tenantId` is the account's. */
export function mailboxView(m: MailboxFacts, tenantId: string): z.input<typeof Mailbox> {
  return {
    id: m.id,
    tenant_id: tenantId,
    address: m.address,
    display_name: m.displayName,
    oversight_mode: m.oversightMode,
    auto_cc: m.autoCc,
    auto_bcc: m.autoBcc,
    forward_inbound: Number(m.forwardInbound),
    webhook_url: m.webhookUrl,
    oversight_webhook_url: m.oversightWebhookUrl,
    signature_block: m.signatureBlock,
    created_at: m.createdAt.getTime(),
    is_active: Number(m.isActive),
    mcp_configured: Number(m.mcpConfigured),
    default_gate_timing: m.gateTiming,
    scheduling_enabled: Number(m.schedulingEnabled),
    ai_disclosure: 1,
    hold_expiry_hours: m.holdExpiryHours,
  };
}
