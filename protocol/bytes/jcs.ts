/**
 * The JSON Canonicalization Scheme (RFC 8785): one text for one value, in any language. Takes what
 * `JSON.parse` gives; half a surrogate pair, which RFC 8785 §3.2.2.2 refuses, has no place in it.
 */
export function jcs(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(jcs).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  // §3.2.3: by UTF-16 code units, which is how JavaScript compares.
  const members = Object.entries(value)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${jcs(member)}`);
  return `{${members.join(",")}}`;
}
