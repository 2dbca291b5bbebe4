import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ensureDevelopmentPki } from "#crypto/pki.ts";
import { loadKeys, type KeyAsk } from "#server/diagnostic-runs/keys.ts";
import { testFolder } from "#test/helpers/folder.ts";

const ask: KeyAsk = {
  vin: "VMG-001",
  ecu_id: "ECU_001",
  ecu_type: "brake",
  operator: "ann",
  diagnostic_level: "control",
};
const seed = Buffer.alloc(16, 1);

function plugin(source: string): { plugin: string; mode: "production"; certsDir: string } {
  const file = join(testFolder(), "keys.mjs");
  writeFileSync(file, source);
  return { plugin: file, mode: "production", certsDir: "" };
}

describe("a key provider", () => {
  it("is a module of one's own, asked for the ECU and the operator", async () => {
    const keys = await loadKeys(
      plugin(`export default {
        securityKey: async (ask) => Buffer.from(JSON.stringify(ask.level) + ask.vin + ask.ecu_type),
        authentication: async ({ operator }) => ({
          certificate: Buffer.from(operator),
          sign: async (challenge) => Buffer.concat([challenge, challenge]),
        }),
      };`),
    );
    const key = await keys.securityKey({ ...ask, level: 3, seed });
    expect(Buffer.from(key).toString()).toBe("3VMG-001brake");
    const { certificate, sign } = await keys.authentication(ask);
    expect(Buffer.from(certificate).toString()).toBe("ann");
    expect(await sign(Buffer.from("ab"))).toEqual(Buffer.from("abab"));
  });

  it.each([
    ["is not there", undefined, /Cannot find module/],
    ["fails", "throw new Error('no HSM')", /no HSM/],
    ["exports nothing", "export const x = 1;", /no securityKey/],
    ["has half of it", "export default { securityKey() {} };", /no authentication/],
  ])("that %s stops the start", async (_, source, why) => {
    const settings =
      source === undefined
        ? { plugin: "/nowhere/keys.mjs", mode: "production" as const, certsDir: "" }
        : plugin(source);
    const loading = loadKeys(settings);
    await expect(loading).rejects.toMatchObject({ code: "KEY_PLUGIN_INVALID" });
    await expect(loading).rejects.toThrow(why);
  });

  it("that is left out has the public keys of the simulation in development, none in production", async () => {
    const production = await loadKeys({ plugin: "", mode: "production", certsDir: "" });
    const none = { code: "KEY_UNAVAILABLE" };
    await expect(production.securityKey({ ...ask, level: 1, seed })).rejects.toMatchObject(none);
    await expect(production.authentication(ask)).rejects.toMatchObject(none);
    const certsDir = testFolder();
    const development = await loadKeys({ plugin: "", mode: "development", certsDir });
    expect(await development.securityKey({ ...ask, level: 1, seed })).toHaveLength(16);
    const unknown = development.securityKey({ ...ask, level: 5, seed });
    await expect(unknown).rejects.toMatchObject(none);
    // Without the testers' authority there is no certificate.
    await expect(development.authentication(ask)).rejects.toMatchObject(none);
  });
});

describe("the certificate of development", () => {
  it("lets an ECU grant what the operator may do, and is used until it ends", async () => {
    const certsDir = testFolder();
    await ensureDevelopmentPki(certsDir, { hostNames: ["localhost"], algorithms: ["ecdsa-p256"] });
    const keys = await loadKeys({ plugin: "", mode: "development", certsDir });
    const first = await keys.authentication(ask);
    const again = await keys.authentication(ask);
    expect(again.certificate).toEqual(first.certificate);
    expect(Buffer.from(first.certificate).toString("latin1")).toContain("tester-role:control");
    const reader = await keys.authentication({ ...ask, diagnostic_level: "read" });
    expect(Buffer.from(reader.certificate).toString("latin1")).toContain("tester-role:read");
    expect(await first.sign(Buffer.alloc(32))).not.toHaveLength(0);
  });
});
