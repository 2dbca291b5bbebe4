/** Far more than an event has. */
const MAX_LINE = 1024 * 1024;

/** The data of server-sent events (WHATWG HTML §9.2), each as it comes. @throws RangeError for a line without end */
export async function* serverSentData(body: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let data: string[] = [];
  for await (const part of body) {
    rest += decoder.decode(part, { stream: true });
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop() ?? "";
    if (rest.length > MAX_LINE) throw new RangeError("an event has no end");
    for (const line of lines) {
      const [, value] = /^data: ?(.*)$/.exec(line) ?? [];
      if (value !== undefined) data.push(value);
      if (line !== "" || data.length === 0) continue;
      yield data.join("\n");
      data = [];
    }
  }
}
