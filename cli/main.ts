import "#config/node-version.js";
import { Command } from "commander";
import { certsCommand } from "./certs.ts";

await new Command("latticeway")
  .description("Latticeway, the vehicle OTA gateway")
  .addCommand(certsCommand())
  .showHelpAfterError()
  .parseAsync();
