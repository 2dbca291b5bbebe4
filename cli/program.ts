import { Command } from "commander";
import { auditCommand } from "./audit.ts";
import { catalogueCommand } from "./catalogue.ts";
import { certsCommand } from "./certs.ts";
import { approvalsCommand } from "./approvals.ts";
import { campaignCommand } from "./campaign.ts";
import { completionCommand } from "./completion.ts";
import { diagnosticsCommand } from "./diagnostics.ts";
import { eventsCommand } from "./events.ts";
import { firmwareCommand } from "./firmware.ts";
import { historyCommand, logsCommand, statsCommand, updatesCommand } from "./history.ts";
import { loginCommand, logoutCommand, passwordCommand, whoamiCommand } from "./login.ts";
import { operatorsCommand } from "./operators.ts";
import { policiesCommand } from "./policies.ts";
import { registerCommand } from "./register.ts";
import { createUpdateCommand, rolloutCommand } from "./rollout.ts";
import { trustCommand } from "./trust.ts";
import { tunnelCommand } from "./tunnel.ts";
import { vehiclesCommand } from "./vehicles.ts";
import { webhooksCommand } from "./webhooks.ts";

/** `latticeway` with all its commands. */
export function program(): Command {
  const latticeway = new Command("latticeway")
    .description("Latticeway, the vehicle OTA gateway")
    .addHelpText(
      "after",
      "\nThe gateway is the one that `latticeway login` has gone to, or named by LATTICEWAY_URL,\n" +
        "LATTICEWAY_TOKEN and LATTICEWAY_CA, which go first. Exit codes: 0 done, 1 refused or failed,\n" +
        "2 wrong usage, 3 the gateway can't be reached, 4 not logged in.",
    );
  for (const [heading, commands] of Object.entries(groups)) {
    latticeway.commandsGroup(heading);
    for (const command of commands) latticeway.addCommand(command());
  }
  latticeway.addCommand(completionCommand(() => latticeway)).helpCommand(false);
  pointToHelp(latticeway, latticeway.name());
  return latticeway;
}

/** Who was not understood is told where to look; the whole help would hide what was wrong. */
function pointToHelp(command: Command, name: string): void {
  command.showHelpAfterError(`See ${name} --help`);
  for (const each of command.commands) pointToHelp(each, `${name} ${each.name()}`);
}

const groups: Record<string, (() => Command)[]> = {
  "You:": [loginCommand, logoutCommand, whoamiCommand, passwordCommand],
  "Releases:": [firmwareCommand, createUpdateCommand, rolloutCommand, campaignCommand],
  "The fleet:": [vehiclesCommand, policiesCommand, updatesCommand],
  "What has happened:": [historyCommand, logsCommand, statsCommand, registerCommand, eventsCommand],
  "Diagnostics:": [diagnosticsCommand, approvalsCommand, catalogueCommand, tunnelCommand],
  "The gateway:": [operatorsCommand, webhooksCommand, auditCommand, certsCommand, trustCommand],
  "This command:": [],
};
