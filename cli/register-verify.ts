import { createReadStream } from "node:fs";
import { Command } from "commander";
import { AuditHead, type AuditEntry } from "#protocol/api/audit.ts";
import { withExamples } from "./answering.ts";
import { anchorOption, told } from "./audit.ts";
import { verifyAudit, type AuditVerdict } from "./audit-chain.ts";
import { withGateway, type Gateway } from "./gateway.ts";
import { moment } from "./moment.ts";
import { createRegisterCheck } from "./register-check.ts";
import { reporting } from "./reporting.ts";
import { UsageError } from "./usage-error.ts";

interface Options {
  audit?: string;
  anchor: AuditHead[];
  until?: string;
  part?: true;
}

/** `latticeway register verify` */
export function verifyCommand(): Command {
  return withExamples(
    new Command("verify")
      .description(
        "Hold the register to the audit log and name the first record that is not as it was",
      )
      .argument("[file...]", "exports as JSON; without them the gateway is asked")
      .option("--audit <export>", "of `audit export`; without it the gateway is asked")
      .addOption(anchorOption())
      .option("--until <time>", "what was entered from then on may be missing in the files", moment)
      .option("--part", "anything may be missing: the files were exported with filters"),
    [
      "latticeway register verify",
      "latticeway register verify register.ndjson --audit audit.ndjson",
      "latticeway register verify 2025.ndjson 2026.ndjson --audit audit.ndjson --until 2026-07-01",
    ],
  ).action((files: string[], options: Options, command: Command) =>
    reporting(command, () => verify(files, options)),
  );
}

async function verify(files: readonly string[], options: Options): Promise<string> {
  const isOfGateway = files.length === 0;
  if (isOfGateway && (options.audit ?? options.until ?? options.part) !== undefined) {
    throw new UsageError("--audit, --until and --part are for exported files: name them");
  }
  if (isOfGateway) return withGateway((gateway) => verifyGateway(gateway, options));
  const { audit, anchor, until, part } = options;
  const check = createRegisterCheck();
  for (const file of files) await check.read(createReadStream(file));
  const isWhole = ({ at }: AuditEntry) => part === undefined && (until === undefined || at < until);
  const hold = (entry: AuditEntry) => check.hold(entry, isWhole(entry));
  const verdict =
    audit === undefined
      ? await withGateway(async (gateway) => {
          const head = await gateway.get("/audit/head", AuditHead);
          return verifyAudit(await gateway.stream("/audit/export"), [...anchor, head], hold);
        })
      : await verifyAudit(createReadStream(audit), anchor, hold);
  return shown(check.end(), verdict, options);
}

async function verifyGateway(gateway: Gateway, options: Options): Promise<string> {
  const check = createRegisterCheck();
  // What is entered up to here is in the register's export, and that is in the log's.
  const head = await gateway.get("/audit/head", AuditHead);
  await check.read(await gateway.stream("/register/export?format=json"));
  const anchors = [...options.anchor, head];
  const verdict = await verifyAudit(await gateway.stream("/audit/export"), anchors, (entry) =>
    check.hold(entry, entry.seq <= head.seq),
  );
  return shown(check.end(), verdict, options);
}

function shown(records: number, verdict: AuditVerdict, { anchor, part }: Options): string {
  const lines = [`The register holds: ${records} records, each as the audit log has it.`];
  if (part) lines.push("Whether records are missing was not looked at.");
  return [...lines, told(verdict, anchor.length > 0)].join("\n");
}
