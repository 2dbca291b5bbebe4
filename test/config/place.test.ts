import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";

const repository = join(import.meta.dirname, "../..");

it("the configuration is found wherever the checkout lies, also below a name with a blank", () => {
  const checkout = join(testFolder(), "a blank, 100% ü#");
  mkdirSync(checkout);
  for (const name of ["package.json", "config", "protocol"])
    cpSync(join(repository, name), join(checkout, name), { recursive: true });
  symlinkSync(join(repository, "node_modules"), join(checkout, "node_modules"));
  const source = `
    import { loadServerConfig } from "#config/server.ts";
    import { loadVehicleConfig } from "#config/vehicle.ts";
    console.log(loadServerConfig({}).https.port, loadVehicleConfig({}).vehicle.id);
  `;
  const printed = execFileSync(process.execPath, ["--input-type=module", "--eval", source], {
    cwd: checkout,
    encoding: "utf8",
  });
  expect(printed).toBe("8443 VMG-001\n");
});
