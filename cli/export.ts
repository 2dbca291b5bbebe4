import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { withExamples } from "./answering.ts";
import { withGateway } from "./gateway.ts";
import { queryOf } from "./listing.ts";
import { oneOf } from "./option-values.ts";
import { reporting } from "./reporting.ts";

interface Options {
  format?: "csv" | "json";
  out?: string;
}

/**
 * A command that writes what the gateway exports, of whatever length, into a file or a pipe; `lines`
 * where there is no CSV of it.
 */
export function exportCommand(
  command: Command,
  { path, examples, lines }: { path: string; examples: readonly string[]; lines?: true },
): Command {
  if (lines !== true) {
    command.addOption(
      oneOf("--format <name>", "json is an object a line", ["csv", "json"]).default("json"),
    );
  }
  return withExamples(
    command.option("--out <file>", "where to write it; one that is there is not replaced"),
    examples,
  ).action((options: Options, self: Command) => reporting(self, () => write(path, options)));
}

async function write(path: string, { out, ...query }: Options): Promise<string> {
  return withGateway(async (gateway) => {
    const text = Readable.from(await gateway.stream(`${path}${queryOf(query)}`), {
      objectMode: false,
    });
    if (out === undefined) {
      await pipeline(text, process.stdout, { end: false });
      return "";
    }
    const file = createWriteStream(out, { flags: "wx", mode: 0o600 });
    await pipeline(text, file);
    return `Written: ${out} (${file.bytesWritten} bytes).`;
  });
}
