/** What the owner of a domain puts into its DNS, so that mail from it is ours to send and is believed. */

export interface DnsRecord {
  type: 'TXT' | 'MX' | 'CNAME';
  name: string;
  value: string;
  priority?: number;
}

export interface DomainRecords {
  ownership: DnsRecord;
  dkim: DnsRecord;
  spf: DnsRecord;
  mx: DnsRecord;
  return_path: DnsRecord;
}

/** The records for `domain`, of which the gateway `hostname` takes and sends the mail. */
export function domainRecords(
  one: { domain: string; token: string; dkimSelector: string; dkimPublicKey: string },
  hostname: string,
): DomainRecords {
  const { domain, token, dkimSelector, dkimPublicKey } = one;
  return {
    ownership: { type: 'TXT', name: `_postern.${domain}`, value: `postern-verify=${token}` },
    dkim: {
      type: 'TXT',
      name: `${dkimSelector}._domainkey.${domain}`, // RFC 6376 §3.6.2.1
      value: `v=DKIM1; k=rsa; p=${dkimPublicKey}`,
    },
    spf: { type: 'TXT', name: domain, value: `v=spf1 a:${hostname} ~all` }, // RFC 7208 §3
    mx: { type: 'MX', name: domain, value: hostname, priority: 10 },
    return_path: { type: 'CNAME', name: `bounces.${domain}`, value: hostname },
  };
}
