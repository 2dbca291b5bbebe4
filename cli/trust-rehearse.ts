import { Command } from "commander";
import { Rehearsal } from "#protocol/api/trust.ts";
import { MAX_METADATA_BYTES } from "#protocol/uptane/metadata.ts";
import { readBounded } from "./ceremony.ts";
import { CeremonyError } from "./ceremony-error.ts";
import { withGateway } from "./gateway.ts";
import { reporting } from "./reporting.ts";
import { table } from "./table.ts";
import { repositoryOf } from "./trust-publish.ts";

/** `latticeway trust rehearse` */
export function rehearseCommand(): Command {
  return new Command("rehearse")
    .description("Ask the gateway what publishing a root would do to the vehicles, parked ones too")
    .argument("<file>", "the signed root, in the ceremony's folder director or image")
    .addHelpText("after", "\nNothing is published. Exit code 1 when a vehicle would be stranded.")
    .action((file: string, _options: object, command: Command) =>
      reporting(command, () => rehearse(file)),
    );
}

type Reason = Pick<Rehearsal["roots"][number], "waiting_for" | "code" | "detail">;

/** Until all is there that a root waits for, what was there before is served. */
function reasonOf({ waiting_for = [], code, detail }: Partial<Reason>): string {
  if (waiting_for.length > 0) return `until you publish ${waiting_for.join(", ")} too`;
  return code === undefined ? "" : `${detail ?? ""} (${code})`;
}

/** @throws CeremonyError REHEARSAL_STRANDED, after the table was printed */
async function rehearse(file: string): Promise<string> {
  const path = `/uptane/${repositoryOf(file)}/rehearsal`;
  const bytes = await readBounded(file, MAX_METADATA_BYTES.root);
  const answer = await withGateway((gateway) => gateway.post(path, bytes, Rehearsal));
  const rows = answer.roots.map(({ root_version, vehicles, outcome, ...why }) => [
    root_version === null ? "never asked" : `root ${root_version}`,
    String(vehicles),
    outcome.replace("_", " "),
    reasonOf(why),
  ]);
  const overview =
    rows.length === 0
      ? "No vehicle has registered."
      : table(["VEHICLES WITH", "NUMBER", "OUTCOME", "WHY"], rows);
  if (answer.stranded === 0) return overview;
  console.log(overview);
  const what = `${answer.stranded} vehicles would be stranded`;
  throw new CeremonyError("REHEARSAL_STRANDED", what);
}
