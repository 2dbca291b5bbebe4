/** What a terminal acts on instead of showing it: control characters, and turns of the direction. */
const ACTIVE = /[\p{Cc}\p{Bidi_Control}]/gu;

/**
 * Text of a gateway or a file, for a line on the terminal: whoever wrote it can't move the cursor,
 * paint over what is there or begin another line. The escapes are those of JSON.
 */
export function printable(text: string): string {
  return text.replaceAll(ACTIVE, escaped);
}

/** Line breaks, and the styles of headings and states. */
const OURS = ["\n", ...[1, 2, 22, 31, 32, 33, 39].map((style) => `\u001b[${style}m`)];

/** As above, of a whole output. */
export function printableLines(text: string): string {
  return text.replaceAll(ACTIVE, (sign, at: number) =>
    OURS.some((ours) => text.startsWith(ours, at)) ? sign : escaped(sign),
  );
}

function escaped(sign: string): string {
  return `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
