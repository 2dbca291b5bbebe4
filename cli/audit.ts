import { createReadStream } from "node:fs";
import { Command, InvalidArgumentError, Option } from "commander";
import { AuditHead } from "#protocol/api/audit.ts";
import { verifyAudit, type AuditVerdict } from "./audit-chain.ts";
import { withExamples } from "./answering.ts";
import { exportCommand } from "./export.ts";
import { withGateway } from "./gateway.ts";
import { reporting } from "./reporting.ts";

/** `latticeway audit …` */
export function auditCommand(): Command {
  const audit = new Command("audit").description("The record of who did what to which vehicle");
  audit.addCommand(verifyCommand());
  audit.addCommand(
    exportCommand(new Command("export").description("The whole log as a file, an entry a line"), {
      path: "/audit/export",
      lines: true,
      examples: ["latticeway audit export --out audit.ndjson"],
    }),
  );
  return audit;
}

interface VerifyOptions {
  file?: string;
  anchor: AuditHead[];
}

function verifyCommand(): Command {
  const command = new Command("verify")
    .description("Compute the whole audit log anew and name the first entry that is not as it was")
    .option("--file <export>", "of `audit export`; without it the gateway is asked")
    .addOption(anchorOption());
  return withExamples(command, [
    "latticeway audit verify",
    "latticeway audit verify --file audit.ndjson",
  ]).action((options: VerifyOptions, command: Command) =>
    reporting(command, async () => told(await verify(options), options.anchor.length > 0)),
  );
}

/** `--anchor`, as often as there are heads that were kept. */
export function anchorOption(): Option {
  return new Option("--anchor <seq:hash>", "a head that the log had before; may be repeated")
    .argParser(anchors)
    .default([]);
}

async function verify({ file, anchor }: VerifyOptions): Promise<AuditVerdict> {
  if (file !== undefined) return verifyAudit(createReadStream(file), anchor);
  return withGateway(async (gateway) => {
    // An export that ends too early is not taken for the whole.
    const head = await gateway.get("/audit/head", AuditHead);
    return verifyAudit(await gateway.stream("/audit/export"), [...anchor, head]);
  });
}

/** What was found, with what to keep for the next time. */
export function told({ head, first, last }: AuditVerdict, isAnchored: boolean): string {
  const span = first === undefined ? "" : `, from ${first} to ${last}`;
  const lines = [`The chain holds: ${head.seq} entries${span}.`];
  if (!isAnchored) {
    lines.push(
      "Without an --anchor from before, entries cut off at the end or a log written anew do not show.",
    );
  }
  return [...lines, "", "Keep this anchor away from the gateway:", `${head.seq}:${head.hash}`].join(
    "\n",
  );
}

function anchors(text: string, before: AuditHead[]): AuditHead[] {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text) ?? [];
  if (seq === undefined || hash === undefined) {
    throw new InvalidArgumentError("number and hash as `audit verify` shows them, 12:0a1b….");
  }
  return [...before, { seq: Number(seq), hash }];
}
