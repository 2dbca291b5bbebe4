import { Command } from "commander";
import Type, { type Static } from "typebox";
import { Timestamp, Uuid, VehicleId } from "#protocol/api/identifier.ts";
import { answered, answering, path } from "./answering.ts";
import { given } from "./given.ts";
import { listCommand } from "./listing.ts";
import { oneOf } from "./option-values.ts";

/** As far as it is shown. */
const Approval = Type.Object({
  approval_id: Uuid,
  subject_kind: Type.String(),
  vin: VehicleId,
  requested_by: Type.String(),
  reason: Type.String(),
  summary: Type.String(),
  level: Type.String(),
  state: Type.String(),
  expires_at: Timestamp,
  decided_by: Type.Union([Type.String(), Type.Null()]),
});
type Approval = Static<typeof Approval>;

/** `latticeway approvals …` */
export function approvalsCommand(): Command {
  const list = new Command("list")
    .description("What waits for a second operator, newest first")
    .option("--vin <id>", "about this vehicle")
    .addOption(
      oneOf("--state <state>", "in this state", ["pending", "approved", "rejected", "expired"]),
    );
  return new Command("approvals")
    .description("Diagnostics that a second operator has to allow")
    .addCommand(
      listCommand(list, {
        path: () => "/diagnostics/approvals",
        item: Approval,
        columns: {
          STATE: (it) => it.state,
          VIN: (it) => it.vin,
          WHAT: (it) => it.summary,
          WHY: (it) => it.reason,
          LEVEL: (it) => it.level,
          "ASKED BY": (it) => it.requested_by,
          UNTIL: (it) => it.expires_at,
          "DECIDED BY": (it) => it.decided_by,
          ID: (it) => it.approval_id,
        },
        spare: ["DECIDED BY", "LEVEL", "UNTIL", "ASKED BY"],
        none: "Nothing waits for an approval.",
        examples: ["latticeway approvals list --state pending"],
      }),
    )
    .addCommand(decisionCommand("approve", "Let it be done"))
    .addCommand(decisionCommand("reject", "Let it not be done"));
}

function decisionCommand(verb: "approve" | "reject", description: string): Command {
  const command = new Command(verb)
    .description(description)
    .argument("<approval-id>")
    .option("--comment <text>", "kept with it and in the audit log");
  return answering<{ comment?: string }>(command, {
    examples: [`latticeway approvals ${verb} 0198c7a0-… --comment 'As agreed with the workshop'`],
    async run(gateway, { comment }, id = "") {
      const to = path`/diagnostics/approvals/${id}/${verb}`;
      return answered(
        await gateway.send("POST", to, given({ comment }), Approval),
        (approval: Approval) => `${approval.summary} for ${approval.vin} is ${approval.state}.`,
      );
    },
  });
}
