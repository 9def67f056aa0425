/**
 * Domains under which anybody can register: whoever allows `*@co.uk` allows strangers.
 *
 * The public list of them has thousands of lines and changes weekly. What is here is its regular part, the second
 * level that country domains give their registrants; a pattern is for one exact domain, so names below one are fine.
 */
const REGISTRY_LABELS = new Set(
  'ac co com edu gob gouv gov govt go ltd mil ne net nhs nom or org plc sch school'.split(' '),
);

/** Whether people who have nothing to do with each other get their names directly below this domain. */
export function isPublicSuffix(domain: string): boolean {
  const [label, country, ...rest] = domain.split('.');
  if (country === undefined) return true;
  return rest.length === 0 && country.length === 2 && REGISTRY_LABELS.has(label!);
}
