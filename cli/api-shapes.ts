/** What the commands read of the API's answers. The answers hold more; OpenAPI at /v1/openapi.json has it all. */

export interface EmailSummary {
  id: string;
  direction: string;
  /** Of the lifecycle: the word that people are told; `status` is that of older clients. */
  state: string;
  from: string;
  to: string[];
  subject: string;
  mailbox: string;
  created_at: string;
}

export interface EmailDetail extends EmailSummary {
  status: string;
  source: string;
  size: number;
  send_at: string | null;
  internet_message_id: string | null;
  oversight_mode: string | null;
  released_by: string | null;
  approved_by: string | null;
  status_reason: string | null;
  reasons: string[];
  expires_at: string | null;
  next_attempt_at: string | null;
  attempts: number;
  content_digest: string;
  recipients: { address: string; status: string; reply: string | null; next_hop: string | null }[];
}

export interface Pending extends EmailSummary {
  reasons: string[];
  content_digest: string;
  expires_at: string | null;
}

export interface Review extends Pending {
  size: number;
  send_at: string | null;
  cc: string[];
  bcc: string[];
  composer: { type: string; name: string } | null;
  envelope: { reverse_path: string; forward_paths: string[] };
}

export interface Decided {
  status: string;
  id: string;
  email_status: string;
  message: string;
  approved_by: string | null;
}

export interface AuditEntry {
  id: string;
  action: string;
  resource_type: string;
  resource_id: string;
  actor: { type: string; id: string | null; name: string };
  from_state: string | null;
  to_state: string | null;
  created_at: string;
}

export interface Capture {
  id: string;
  message_id: string;
  kind: string | null;
  about_id: string | null;
  reverse_path: string;
  forward_paths: string[];
  subject: string;
  captured_at: string;
}

export interface Page {
  cursor: string | null;
}
