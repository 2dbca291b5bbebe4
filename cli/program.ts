import { Command } from "commander";
import { auditCommand } from "./audit.ts";
import { catalogueCommand } from "./catalogue.ts";
import { certsCommand } from "./certs.ts";
import { completionCommand } from "./completion.ts";
import { loginCommand, logoutCommand, passwordCommand, whoamiCommand } from "./login.ts";
import { trustCommand } from "./trust.ts";
import { tunnelCommand } from "./tunnel.ts";

/** `latticeway` with all its commands. */
export function program(): Command {
  const latticeway = new Command("latticeway")
    .description("Latticeway, the vehicle OTA gateway")
    .showHelpAfterError()
    .addHelpText(
      "after",
      "\nThe gateway is the one that `latticeway login` has gone to, or named by LATTICEWAY_URL,\n" +
        "LATTICEWAY_TOKEN and LATTICEWAY_CA, which go first. Exit codes: 0 done, 1 refused or failed,\n" +
        "2 wrong usage, 3 the gateway can't be reached, 4 not logged in.",
    );
  latticeway.commandsGroup("You:");
  for (const command of [loginCommand(), logoutCommand(), whoamiCommand(), passwordCommand()]) {
    latticeway.addCommand(command);
  }
  latticeway.commandsGroup("Keys, certificates and diagnostics:");
  for (const command of [
    trustCommand(),
    certsCommand(),
    auditCommand(),
    catalogueCommand(),
    tunnelCommand(),
  ]) {
    latticeway.addCommand(command);
  }
  latticeway.commandsGroup("This command:");
  return latticeway.addCommand(completionCommand(() => latticeway));
}
