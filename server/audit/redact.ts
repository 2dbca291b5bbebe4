/** Members whose values stay out of the log, whoever sends them; ids of such things may go in. */
const SECRET =
  /pass(word|phrase|wd)|secret|token|credential|private|authorization|cookie|(^|_)key$/i;
const ID = /_ids?$/i;

const MAX_TEXT = 512;
const MAX_ITEMS = 100;
const MAX_DEPTH = 8;
const MAX_CHARS = 16_384;

/**
 * What was sent, fit for the audit log: without secrets, long texts and lists cut, and as a whole
 * bounded.
 */
export function redacted(value: unknown): unknown {
  const kept = redact(value, 0);
  const length = JSON.stringify(kept)?.length ?? 0;
  return length <= MAX_CHARS ? kept : { left_out: `${length} characters` };
}

function redact(value: unknown, depth: number): unknown {
  if (typeof value === "string") return text(value);
  if (typeof value !== "object" || value === null) return value;
  if (depth === MAX_DEPTH) return "[…]";
  const below = (item: unknown) => redact(item, depth + 1);
  if (Array.isArray(value)) {
    const more = value.length - MAX_ITEMS;
    return [...value.slice(0, MAX_ITEMS).map(below), ...(more > 0 ? [`[${more} more]`] : [])];
  }
  const members = Object.entries(value).slice(0, MAX_ITEMS);
  return Object.fromEntries(
    members.map(([name, member]) => [
      text(name),
      SECRET.test(name) && !ID.test(name) ? "[redacted]" : below(member),
    ]),
  );
}

function text(value: string): string {
  const cut = value.length > MAX_TEXT ? `${value.slice(0, MAX_TEXT)}…` : value;
  return cut.toWellFormed().replaceAll("\0", "\uFFFD");
}
