/** Domains the operator writes from, and what their DNS has to say. */
import { z } from 'zod';
import { canonicalDomain } from '../../core/mail/domain.ts';
import { domainRecords } from '../../core/mail/domain-records.ts';
import { addDomain, type Domain, findDomain, listDomains, removeDomain } from '../../core/store/domains.ts';
import { anyId, idOf } from '../input/kinds.ts';
import { type Call, operation } from '../operation.ts';
import { notFound, Problem } from '../problem.ts';
import { iso } from '../views/emails.ts';

const DnsRecord = z.object({
  type: z.string(),
  name: z.string(),
  value: z.string(),
  priority: z.number().optional(),
});
const checks = {
  id: z.string(),
  domain: z.string(),
  status: z.enum(['pending', 'active']),
  dkim_verified: z.boolean(),
  spf_verified: z.boolean(),
  mx_verified: z.boolean(),
  return_path_verified: z.boolean(),
  verified_at: z.string().nullable(),
};
const Checked = z.object(checks);
const DomainView = z.object({
  ...checks,
  dns_records: z
    .object({
      ownership: DnsRecord,
      dkim: DnsRecord,
      spf: DnsRecord,
      mx: DnsRecord,
      return_path: DnsRecord,
    })
    .nullable(),
  created_at: z.string(),
});

function checksOf(one: Domain): z.input<typeof Checked> {
  return {
    id: one.id,
    domain: one.domain,
    status: one.status,
    dkim_verified: one.dkimVerified,
    spf_verified: one.spfVerified,
    mx_verified: one.mxVerified,
    return_path_verified: one.returnPathVerified,
    verified_at: iso(one.verifiedAt),
  };
}

export function domainView(one: Domain, { runtime }: Call): z.input<typeof DomainView> {
  return {
    ...checksOf(one),
    dns_records: domainRecords(one, runtime.config.hostname),
    created_at: one.createdAt.toISOString(),
  };
}

/** A name that mail can be at: of two labels at least, for nobody owns a top-level domain here. */
const domainName = z
  .string()
  .max(1000)
  .transform((text, context): string => {
    const name = canonicalDomain(text.trim().replace(/\.$/, ''));
    if (name?.includes('.')) return name;
    context.addIssue({ code: 'custom', message: 'is no domain that mail can be sent from' });
    return z.NEVER;
  });

async function known(id: string, { runtime }: Call): Promise<Domain> {
  const found = await findDomain(runtime.database.pool, idOf(id, 'domain'));
  if (found === undefined) throw notFound('There is no such domain.');
  return found;
}

const createDomain = operation({
  name: 'add_domain',
  summary: 'Add a domain, and learn what to put into its DNS',
  area: 'domains',
  access: 'admin',
  method: 'POST',
  path: '/v1/domains',
  status: 201,
  input: z.object({ domain: domainName }),
  output: DomainView,
  async handle({ domain }, call) {
    const made = await addDomain(call.runtime.database.pool, domain, call.caller.actor);
    if (made === undefined)
      throw new Problem(409, 'already_exists', 'domain: it is there already', { field: 'domain' });
    return domainView(made, call);
  },
});

const listAllDomains = operation({
  name: 'list_domains',
  summary: 'All domains with what their DNS has to say',
  area: 'domains',
  access: 'admin',
  method: 'GET',
  path: '/v1/domains',
  input: z.object({}),
  output: z.object({ domains: z.array(DomainView) }),
  async handle(_, call) {
    const all = await listDomains(call.runtime.database.pool);
    return { domains: all.map((one) => domainView(one, call)) };
  },
});

const showDomain = operation({
  name: 'get_domain',
  summary: 'One domain with what its DNS has to say',
  area: 'domains',
  access: 'admin',
  method: 'GET',
  path: '/v1/domains/:domain_id',
  input: z.object({ domain_id: anyId }),
  output: DomainView,
  async handle({ domain_id }, call) {
    return domainView(await known(domain_id, call), call);
  },
});

const deleteDomain = operation({
  name: 'delete_domain',
  summary: 'Remove a domain and the key that signs its mail',
  area: 'domains',
  access: 'admin',
  method: 'DELETE',
  path: '/v1/domains/:domain_id',
  input: z.object({ domain_id: anyId }),
  output: z.object({ status: z.literal('deleted') }),
  async handle({ domain_id }, { runtime, caller }) {
    const id = idOf(domain_id, 'domain');
    if (!(await removeDomain(runtime.database.pool, id, caller.actor)))
      throw notFound('There is no such domain.');
    return { status: 'deleted' as const };
  },
});

// The DNS is not asked yet: the answer is what is known, and changes nothing.
const verifyDomain = operation({
  name: 'verify_domain',
  summary: 'How far a domain is verified',
  area: 'domains',
  access: 'admin',
  method: 'POST',
  path: '/v1/domains/:domain_id/verify',
  input: z.object({ domain_id: anyId }),
  output: Checked,
  async handle({ domain_id }, call) {
    return checksOf(await known(domain_id, call));
  },
});

export const domainOperations = [createDomain, listAllDomains, showDomain, deleteDomain, verifyDomain];
