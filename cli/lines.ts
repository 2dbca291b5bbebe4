/** Far more than the longest line has of anything that is exported. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const LINE_FEED = 0x0a;

/**
 * Lines without their end.
 * @param malformed makes the error for one that is too long, or has no end
 */
export async function* linesOf(
  chunks: AsyncIterable<Buffer>,
  malformed: (why: string) => Error,
): AsyncGenerator<Buffer> {
  let begun: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    let rest = chunk;
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      yield Buffer.concat([...begun, rest.subarray(0, end)]);
      rest = rest.subarray(end + 1);
      begun = [];
      length = 0;
    }
    begun.push(rest);
    length += rest.length;
    if (length > MAX_LINE_BYTES) throw malformed("a line is longer than any that is exported");
  }
  if (length > 0) throw malformed("the last line is cut off");
}

/** The JSON of a line; undefined when it is none. */
export function parseLine(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString("utf8"));
  } catch {
    return undefined;
  }
}
