import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { CommanderError, type Command } from "commander";
import type { IClientOptions } from "mqtt";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { certsCommand } from "#cli/certs.ts";
import { authorityFiles, vehicleFiles } from "#crypto/pki-layout.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { factoryIdentity, orderFor } from "#test/server/certificates/identity.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway();
  vi.stubEnv("LATTICEWAY_URL", gateway.url);
  vi.stubEnv("LATTICEWAY_TOKEN", readFileSync(gateway.app.tokenFile, "utf8").trim());
  const ca = authorityFiles(gateway.config.certs_dir, "server", "ecdsa-p256", "root").certificate;
  vi.stubEnv("LATTICEWAY_CA", ca);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await gateway.close();
});

async function certs(...args: string[]): Promise<{ code: string; output: string; errors: string }> {
  const output: string[] = [];
  let errors = "";
  const print = vi.spyOn(console, "log").mockImplementation((text: string) => output.push(text));
  const command = certsCommand();
  for (const one of [command, ...command.commands] as Command[]) {
    one.exitOverride().configureOutput({ writeErr: (text) => (errors += text) });
  }
  try {
    await command.parseAsync(args, { from: "user" });
    return { code: "ok", output: output.join("\n"), errors };
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    return { code: error.code, output: output.join("\n"), errors };
  } finally {
    print.mockRestore();
  }
}

describe("latticeway certs at a gateway", () => {
  test("makes a token that a vehicle enrols by", async () => {
    const vin = "CLI-001";
    const { output } = await certs("token", vin, "--hours", "1");
    const body = { csr: orderFor(vin).csr, token: output };
    const answer = await gateway.operator("").send("POST", "/api/v1/certificates/enroll", { body });
    expect(answer.status).toBe(201);
    const shown = JSON.parse((await certs("token", vin, "--hours", "1", "--json")).output) as {
      expires_at: string;
    };
    const minutes = (Date.parse(shown.expires_at) - Date.now()) / 60_000;
    expect(Math.round(minutes)).toBe(60);
  });

  test("revokes by file, by fingerprint and by vehicle, and cuts what is open", async () => {
    const vin = "CLI-002";
    const { options, fingerprint } = await factoryIdentity(gateway, vin);
    const client = await gateway.mqtt(vin, options as IClientOptions);
    const closed = new Promise<void>((done) => client.once("close", () => done()));
    const file = vehicleFiles(gateway.config.certs_dir, vin, "ecdsa-p256").certificate;
    const first = await certs("revoke", file, "--reason", "key_compromise");
    await closed;
    expect(first.output).toMatch(/CLI-002 .*:\d\dZ +first-admin +key_compromise$/);
    const spelled = fingerprint.toUpperCase().replaceAll(/..(?=.)/g, "$&:");
    expect((await certs("revoke", spelled)).output).toBe(first.output);
    const note = vi.spyOn(console, "error").mockImplementation(() => {});
    expect((await certs("revoke", vin)).output).toBe(first.output);
    expect(note).toHaveBeenCalledWith(expect.stringMatching(/^Note: certificates of CLI-002 /));
    const items = JSON.parse((await certs("revoke", vin, "--json")).output) as unknown[];
    expect(items).toMatchObject([{ vin, fingerprint, revocation_reason: "key_compromise" }]);
    note.mockRestore();
  });

  test("fetches a revocation list that OpenSSL reads", async (context) => {
    requirePeer(context, "openssl");
    const file = join(gateway.config.data_dir, "list.crl");
    const { output } = await certs("crl", "--out", file);
    expect(output).toMatch(/^Written: /);
    const issuing = authorityFiles(gateway.config.certs_dir, "vehicle", "ecdsa-p256", "issuing");
    const args = ["crl", "-in", file, "-CAfile", issuing.certificate, "-noout", "-issuer"];
    const { stderr } = spawnSync("openssl", args, { encoding: "utf8" });
    expect(stderr).toContain("verify OK");
  });

  test.each<[string, string[], string]>([
    ["an unknown vehicle", ["revoke", "CLI-404"], "CERTIFICATE_UNKNOWN"],
    ["a file that holds none", ["revoke", "package.json"], "CERTIFICATE_MALFORMED"],
    ["another reason", ["revoke", "CLI-001", "--reason", "mood"], "commander.invalidArgument"],
    ["half an hour", ["token", "CLI-001", "--hours", "0.5"], "commander.invalidArgument"],
    ["an id that is none", ["token", "a/b"], "commander.invalidArgument"],
    ["an authority that is not there", ["crl", "--algorithm", "ml-dsa-87"], "ISSUER_UNAVAILABLE"],
  ])("says what is wrong with %s", async (_name, args, code) => {
    const outcome = await certs(...args);
    expect(outcome).toMatchObject({ code, output: "" });
    expect(outcome.errors).toMatch(/^error: /);
  });

  test("needs to be told which gateway", async () => {
    vi.stubEnv("LATTICEWAY_URL", "");
    expect((await certs("revoke", "CLI-001")).code).toBe("GATEWAY_UNNAMED");
    vi.stubEnv("LATTICEWAY_URL", gateway.url);
  });
});
