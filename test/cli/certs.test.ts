import { spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { CommanderError, type Command } from "commander";
import { describe, expect, test, vi } from "vitest";
import { certsCommand } from "#cli/certs.ts";
import { loadTesterIdentity } from "#crypto/diagnostic-pki.ts";
import { vehicleFiles } from "#crypto/pki-layout.ts";
import { loadVehicleIdentity } from "#crypto/pki.ts";
import { temporaryFolder } from "#test/crypto/connection.ts";

interface Outcome {
  code: string;
  output: string;
  errors: string;
}

/** Runs `latticeway certs …` in this process, without letting it exit. */
async function certs(...args: string[]): Promise<Outcome> {
  const output: string[] = [];
  let errors = "";
  const print = vi.spyOn(console, "log").mockImplementation((text: string) => output.push(text));
  const command = certsCommand();
  for (const one of [command, ...command.commands] as Command[]) {
    one.exitOverride().configureOutput({ writeErr: (text) => (errors += text) });
  }
  let code = "ok";
  try {
    await command.parseAsync(args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    code = error.code;
  } finally {
    print.mockRestore();
  }
  return { code, output: output.join("\n"), errors };
}

describe("latticeway certs", () => {
  test("issues a certificate that a vehicle can use, and leaves it alone after that", async () => {
    const dir = join(await temporaryFolder(), "certs");
    const first = await certs("issue", "VMG-001", "--dir", dir);
    expect(first).toMatchObject({ code: "ok", errors: "" });
    expect(first.output).toMatch(/^Made .*VMG-001\.ecdsa-p256\.pem\n/);
    expect(first.output).toMatch(/^Subject {6}CN=VMG-001$/m);
    await loadVehicleIdentity(dir, "VMG-001");
    const second = await certs("issue", "VMG-001", "--dir", dir);
    expect(second.output).toMatch(/^Already there, left as it is: /);
  });

  test("issues post-quantum ones, and for as many days as asked", async () => {
    const dir = await temporaryFolder();
    const options = ["--algorithm", "ml-dsa-87", "--days", "3", "--json", "--dir", dir];
    const { output } = await certs("issue", "VMG-002", ...options);
    const made = JSON.parse(output) as { not_after: string; made: boolean };
    expect(made).toMatchObject({ made: true, subject: "CN=VMG-002", algorithm: "ml-dsa-87" });
    const days = (Date.parse(made.not_after) - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(3);
    await loadVehicleIdentity(dir, "VMG-002", "ml-dsa-87");
  });

  test("issues a tester's certificate, and another one in its place", async () => {
    const dir = await temporaryFolder();
    const options = ["--role", "programming", "--vin", "VMG-001", "--vin", "VMG-002", "--json"];
    const made = async (...more: string[]) => {
      const { output } = await certs("tester", "bench-1", ...options, ...more, "--dir", dir);
      return JSON.parse(output) as { not_after: string; made: boolean };
    };
    const first = await made();
    expect(first).toMatchObject({
      made: true,
      use: "tester",
      subject: "CN=bench-1",
      names: [
        "urn:latticeway:tester-role:programming",
        "urn:latticeway:vehicle:VMG-001",
        "urn:latticeway:vehicle:VMG-002",
      ],
    });
    expect(Math.round((Date.parse(first.not_after) - Date.now()) / 86_400_000)).toBe(7);
    expect(await made("--days", "30")).toMatchObject({ made: false, not_after: first.not_after });
    const replaced = await made("--days", "30", "--replace");
    expect(Math.round((Date.parse(replaced.not_after) - Date.now()) / 86_400_000)).toBe(30);
    await loadTesterIdentity(dir, "bench-1");
  });

  test("lists and shows what is there", async () => {
    const dir = await temporaryFolder();
    expect((await certs("list", "--dir", dir)).output).toMatch(/^No certificates in /);
    await certs("issue", "VMG-001", "--dir", dir);
    const lines = (await certs("list", "--dir", dir)).output.split("\n");
    expect(lines).toHaveLength(20);
    expect(lines.at(-1)).toMatch(
      /vehicles\/VMG-001\.ecdsa-p256\.pem +vehicle +ecdsa-p256 +CN=VMG-001/,
    );
    const list = JSON.parse((await certs("list", "--dir", dir, "--json")).output) as unknown[];
    expect(list).toHaveLength(19);
    const { certificate } = vehicleFiles(dir, "VMG-001", "ecdsa-p256");
    const byId = await certs("show", "VMG-001", "--dir", dir, "--json");
    const byFile = await certs("show", certificate, "--json");
    expect(byId.output).toBe(byFile.output);
    expect(JSON.parse(byId.output)).toEqual([list.at(-1)]);
    expect((await certs("show", "VMG-001", "--dir", dir)).output).toMatch(/^Use {10}vehicle$/m);
  });

  test.each<[string, string[], string, RegExp]>([
    ["an id that is none", ["issue", "a/b"], "commander.invalidArgument", /3 to 64 of/],
    ["no days", ["issue", "VMG-001", "--days", "0"], "commander.invalidArgument", /1 to 3650/],
    ["half a day", ["issue", "VMG-001", "--days", "1.5"], "commander.invalidArgument", /1 to 3650/],
    [
      "another algorithm",
      ["issue", "VMG-001", "--algorithm", "rsa"],
      "commander.invalidArgument",
      /Allowed choices/,
    ],
    ["a tester without a name", ["tester", ".."], "commander.invalidArgument", /3 to 64 of/],
    [
      "a role that is none",
      ["tester", "x-1", "--role", "root"],
      "commander.invalidArgument",
      /Allowed/,
    ],
    ["a long life", ["tester", "x-1", "--days", "91"], "commander.invalidArgument", /1 to 90/],
    ["nothing to show", ["show", "VMG-404"], "PKI_CERTIFICATE_MISSING", /neither a file nor/],
    ["a folder to show", ["show", "."], "PKI_CERTIFICATE_UNREADABLE", /EISDIR/],
    [
      "a file without certificate",
      ["show", "package.json"],
      "PKI_CERTIFICATE_UNREADABLE",
      /package\.json/,
    ],
  ])("refuses %s, and makes nothing", async (_name, args, code, message) => {
    const dir = await temporaryFolder();
    const outcome = await certs(...args, "--dir", dir);
    expect(outcome.code).toBe(code);
    expect(outcome.errors).toMatch(message);
    expect(await readdir(dir)).toEqual([]);
  });
});

test("npm run certs makes the PKI, says where and until when, and repeats itself calmly", async () => {
  const dir = join(await temporaryFolder(), "certs");
  const issue = () =>
    spawnSync(process.execPath, ["certs/issue.ts", "--dir", dir, "--host", "gw.example"], {
      encoding: "utf8",
    });
  const first = issue();
  expect(first).toMatchObject({ status: 0, stderr: "" });
  expect(first.stdout).toMatch(
    /servers\/gateway\.ml-dsa-65\.pem +server +ml-dsa-65 .* \d{4}-\d\d-\d\d\n/,
  );
  expect(first.stdout).toContain("18 made, 0 were there already.");
  const second = issue();
  expect(second).toMatchObject({ status: 0, stderr: "" });
  expect(second.stdout).toContain("0 made, 18 were there already.");
});
