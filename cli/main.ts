import "#config/node-version.js";
import { Command } from "commander";
import { catalogueCommand } from "./catalogue.ts";
import { auditCommand } from "./audit.ts";
import { certsCommand } from "./certs.ts";
import { trustCommand } from "./trust.ts";
import { tunnelCommand } from "./tunnel.ts";

await new Command("latticeway")
  .description("Latticeway, the vehicle OTA gateway")
  .addCommand(catalogueCommand())
  .addCommand(auditCommand())
  .addCommand(certsCommand())
  .addCommand(trustCommand())
  .addCommand(tunnelCommand())
  .showHelpAfterError()
  .parseAsync();
