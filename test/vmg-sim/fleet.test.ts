import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { ensureDevelopmentPki, loadVehicleIdentity } from "#crypto/pki.ts";
import { signingPairIn } from "#test/helpers/signing-pair.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { fleetIds } from "#vmg-sim/fleet.ts";
import { provisionVehicle } from "#vmg-sim/provision.ts";

describe("fleet", () => {
  it.each([
    ["VMG-001", 1, undefined, ["VMG-001"]],
    ["VMG-009", 3, undefined, ["VMG-009", "VMG-010", "VMG-011"]],
    ["TRUCK", 2, undefined, ["TRUCK-001", "TRUCK-002"]],
    ["VMG-001", 2, "TAXI", ["TAXI-0001", "TAXI-0002"]],
  ])("counts on from %s", (first, count, prefix, ids) => {
    expect(fleetIds(first, count, prefix)).toEqual(ids);
  });
});

describe("provisioning", () => {
  it("issues what is missing, and trusts the keys that sign packages", async () => {
    const folder = testFolder();
    await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256"] });
    const signers = await signingPairIn(join(folder, "signing"));
    const { tls, trustedKeys } = await provisionVehicle(folder, "VMG-001", 2);
    const { key } = await loadVehicleIdentity(folder, "VMG-001");
    expect(tls.key).toBe(key);
    expect([...trustedKeys.values()].map(({ publicKey }) => publicKey.algorithm)).toEqual(
      signers.map(({ algorithm }) => algorithm),
    );
  });

  it("follows when the signing keys are made anew", async () => {
    const folder = testFolder();
    await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256"] });
    await signingPairIn(join(folder, "signing"));
    const before = await provisionVehicle(folder, "VMG-001", 2);
    await signingPairIn(join(folder, "signing"));
    const after = await provisionVehicle(folder, "VMG-001", 2);
    const ids = (made: typeof before) => [...made.trustedKeys.keys()];
    expect(ids(after)).toHaveLength(2);
    expect(ids(after)).not.toEqual(ids(before));
  });

  it("needs no private key but the vehicle's own on another machine", async () => {
    const gateway = testFolder();
    await ensureDevelopmentPki(gateway, { algorithms: ["ecdsa-p256"] });
    await signingPairIn(join(gateway, "signing"));
    const there = await provisionVehicle(gateway, "VMG-001", 2);
    const vehicle = testFolder();
    const copy = (file: string) => {
      mkdirSync(dirname(join(vehicle, file)), { recursive: true });
      copyFileSync(join(gateway, file), join(vehicle, file));
    };
    for (const file of [
      "server-ca/ecdsa-p256/root.pem",
      "vehicles/VMG-001.ecdsa-p256.pem",
      "vehicles/VMG-001.ecdsa-p256.key",
      "signing/ecdsa-p256.pub",
      "signing/ml-dsa-65.pub",
    ]) {
      copy(file);
    }
    const here = await provisionVehicle(vehicle, "VMG-001", 2);
    expect([...here.trustedKeys.keys()]).toEqual([...there.trustedKeys.keys()]);
    // Towards testers it has nothing without their root, and no certificate that nobody can issue.
    expect(here.diagnostics).toBeUndefined();
    copy("tester-ca/ecdsa-p256/root.pem");
    const [car] = there.diagnostics?.car ?? [];
    const { testerCa } = there.diagnostics ?? {};
    const towardsTesters = async () => (await provisionVehicle(vehicle, "VMG-001", 2)).diagnostics;
    expect(await towardsTesters()).toEqual({ testerCa, car: [] });
    copy("cars/VMG-001.ecdsa-p256.pem");
    copy("cars/VMG-001.ecdsa-p256.key");
    expect(await towardsTesters()).toEqual({ testerCa, car: [car] });
  });

  it("gives the roots of both repositories, from their place or from where it is told", async () => {
    const folder = testFolder();
    await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256"] });
    await signingPairIn(join(folder, "signing"));
    const provisioned = (director_root = "", image_root = "") =>
      provisionVehicle(folder, "VMG-001", 2, { director_root, image_root });
    expect((await provisioned()).roots).toBeUndefined();

    mkdirSync(join(folder, "trust"));
    const place = (name: string) => join(folder, "trust", `${name}.root.json`);
    writeFileSync(place("director"), "{1}");
    await expect(provisioned()).rejects.toThrow("The root of the image repository is missing");
    writeFileSync(place("image"), "{2}");
    const { roots } = await provisioned();
    expect([String(roots?.director), String(roots?.image)]).toEqual(["{1}", "{2}"]);

    const elsewhere = join(folder, "other.json");
    await expect(provisioned(elsewhere)).rejects.toThrow("The root of the director is missing");
    writeFileSync(elsewhere, "{3}");
    expect(String((await provisioned(elsewhere)).roots?.director)).toBe("{3}");
  });

  it.each([2, 8])(
    "says what to do when there are no certificates (profile %i)",
    async (profile) => {
      const promise = provisionVehicle(testFolder(), "VMG-001", profile);
      await expect(promise).rejects.toMatchObject({ code: "PROVISIONING_INCOMPLETE" });
      await expect(promise).rejects.toThrow("npm run certs");
    },
  );
});
