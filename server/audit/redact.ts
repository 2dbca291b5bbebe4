/** Members whose values stay out of the log, whoever sends them; ids of such things may go in. */
const SECRET =
  /pass(word|phrase|wd)|secret|token|credential|private|authorization|cookie|(^|_)key$/i;
const ID = /_ids?$/i;
/** Whoever has the path of a webhook's URL may often post there. */
const ADDRESS = /(^|_)url$/i;

const MAX_CHARS = 16_384;
const MAX_MEMBERS = 100;

/** How much of a value is kept. */
interface Detail {
  text: number;
  items: number;
  depth: number;
}

/** A filter fits, to its end. */
const whole: Detail = { text: 4096, items: 100, depth: 8 };
/** Of what is too long: short values stay, however much somebody has put around them. */
const outlines: readonly Detail[] = [
  { ...whole, text: 512 },
  { text: 64, items: 10, depth: 4 },
  { text: 32, items: 3, depth: 2 },
];

/**
 * What was sent, fit for the audit log: without secrets, long texts and lists cut, and as a whole
 * bounded.
 */
export function redacted(value: unknown): unknown {
  const kept = redact(value, whole);
  const length = lengthOf(kept);
  if (length <= MAX_CHARS) return kept;
  for (const outline of outlines) {
    const cut = redact(value, outline);
    if (lengthOf(cut) <= MAX_CHARS) return cut;
  }
  return { left_out: `${length} characters` };
}

function lengthOf(value: unknown): number {
  return JSON.stringify(value)?.length ?? 0;
}

function redact(value: unknown, detail: Detail, depth = 0): unknown {
  if (typeof value === "string") return text(value, detail);
  if (typeof value !== "object" || value === null) return value;
  // An upload that its route keeps as it is; its bytes are as many members.
  if (value instanceof Uint8Array) return { bytes: value.length };
  if (depth === detail.depth) return "[…]";
  const below = (item: unknown) => redact(item, detail, depth + 1);
  if (Array.isArray(value)) {
    const more = value.length - detail.items;
    return [...value.slice(0, detail.items).map(below), ...(more > 0 ? [`[${more} more]`] : [])];
  }
  const members = Object.entries(value).slice(0, MAX_MEMBERS);
  return Object.fromEntries(
    members.map(([name, member]) => [
      text(name, detail),
      SECRET.test(name) && !ID.test(name)
        ? "[redacted]"
        : below(ADDRESS.test(name) ? originOf(member) : member),
    ]),
  );
}

function text(value: string, detail: Detail): string {
  const cut = value.length > detail.text ? `${value.slice(0, detail.text)}…` : value;
  return cut.toWellFormed().replaceAll("\0", "\uFFFD");
}

function originOf(value: unknown): unknown {
  if (typeof value !== "string" || !URL.canParse(value)) return value;
  const { origin, href } = new URL(value);
  return href === `${origin}/` || origin === "null" ? value : `${origin}/[redacted]`;
}
