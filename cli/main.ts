import "#config/node-version.js";
import { Command } from "commander";
import { certsCommand } from "./certs.ts";
import { trustCommand } from "./trust.ts";
import { tunnelCommand } from "./tunnel.ts";

await new Command("latticeway")
  .description("Latticeway, the vehicle OTA gateway")
  .addCommand(certsCommand())
  .addCommand(trustCommand())
  .addCommand(tunnelCommand())
  .showHelpAfterError()
  .parseAsync();
