import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { decodeRefusal } from "#protocol/uds/metadata-verdict.ts";
import {
  encodeBankExpectation,
  encodeRequestDownload,
  METADATA_ADDRESS,
  startRoutine,
} from "#protocol/uds/programming.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { MAX_BUNDLE_BYTES } from "#protocol/uptane/ecu-bundle.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { NOW } from "#test/protocol/uptane/test-repository.ts";
import type { TrustOptions } from "#vmg-sim/ecu/trust.ts";
import { metadataRequests, sha256, testDirector, type TestDirector } from "./director.ts";
import {
  ecuConfig,
  ecuRig,
  programmingRequests,
  transferRequests,
  type EcuRig,
} from "./ecu-rig.ts";

const image = Buffer.alloc(50_000, "firmware");
const HARDWARE = { hardware_id: hardwareId(ecuConfig.ecu_type, ecuConfig.hardware_version) };
const ERASE = startRoutine(Rid.eraseMemory);
const download = (length: number, address = 0) =>
  encodeRequestDownload({ dataFormat: 0, address, length });

/** An ECU that trusts a director, unlocked for programming. */
async function trustingEcu(
  trust: Partial<TrustOptions> = {},
): Promise<{ rig: EcuRig; director: TestDirector }> {
  const director = testDirector(ecuConfig.vin);
  const options = { root: director.firstRoot, now: () => NOW, ...trust };
  const rig = await ecuRig({}, {}, undefined, options);
  onTestFinished(() => rig.dispose());
  await rig.enterProgramming();
  return { rig, director };
}

/** Hands metadata over. @returns `passed`, or the code of the refusal */
async function verdict(rig: EcuRig, bundle: Uint8Array): Promise<string> {
  const requests = metadataRequests(bundle);
  await rig.expectPositive(...requests.slice(0, -1));
  const [answer = ""] = await rig.ask(requests.at(-1) ?? "");
  if (answer === "7101020700") return "passed";
  return decodeRefusal(Buffer.from(answer.slice(8), "hex")) ?? answer;
}

/** The bytes of both banks; the factory's has no file. */
function flash({ folder }: EcuRig): string[] {
  return ["a", "b"].map((bank) => {
    const file = join(folder, `bank-${bank}.bin`);
    return existsSync(file) ? sha256(readFileSync(file)).toString("hex") : "none";
  });
}

describe("an ECU that trusts a director", () => {
  test("takes the image that it was assigned, and remembers it", async () => {
    const { rig, director } = await trustingEcu();
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle())).toBe("passed");
    await rig.program(image, "2.0.0");
    await rig.ask("1101");
    expect(await rig.version()).toBe("2.0.0");
  });

  test("writes nothing before it has verified an assignment", async () => {
    const { rig } = await trustingEcu();
    expect(await rig.ask(ERASE)).toEqual(["7f3122"]);
    expect(await rig.ask(download(image.length))).toEqual(["7f3422"]);
    expect(await rig.ask(startRoutine(Rid.verifyMetadata))).toEqual(["7f3124"]);
    expect(flash(rig)).toEqual(["none", "none"]);
  });

  test("answers testers who program nothing as before", async () => {
    const { rig } = await trustingEcu();
    await rig.expectPositive("1003", "22f195", "1902ff", "3e00", startRoutine(Rid.selfTest));
    expect(await rig.ask("220110")).toEqual(["62011000000001"]);
  });

  const other = { ...ecuConfig, ecu_id: "ECU_002" };
  const cases: [string, string, (director: TestDirector) => void][] = [
    ["UPTANE_ECU_UNKNOWN", "nothing for it", (d) => d.assign(other, "2.0.0", image)],
    [
      "UPTANE_HARDWARE_MISMATCH",
      "another hardware",
      (d) => d.assign({ ...ecuConfig, hardware_version: "HW-9" }, "2.0.0", image),
    ],
    [
      "UPTANE_HARDWARE_MISMATCH",
      "an image for another type of ECU",
      (d) => d.assign({ ...ecuConfig, ecu_type: "lights" }, "2.0.0", image, HARDWARE),
    ],
    [
      "UPTANE_RELEASE_ROLLBACK",
      "an older release than it runs",
      (d) => d.assign(ecuConfig, "0.9.0", image),
    ],
    [
      "UPTANE_VIN_MISMATCH",
      "another vehicle's targets",
      (d) => {
        d.targets["custom"] = { vin: "VMG-002" };
        d.assign(ecuConfig, "2.0.0", image);
      },
    ],
    [
      "UPTANE_EXPIRED",
      "expired targets",
      (d) => {
        d.targets.expires = "2026-11-20T12:00:00Z";
        d.assign(ecuConfig, "2.0.0", image);
      },
    ],
    ...([0, 1] as const).map((index): [string, string, (director: TestDirector) => void] => [
      "UPTANE_SIGNATURE_MISSING",
      `one signature alone (${index})`,
      (d) => {
        const key = d.signers.get("targets")?.[index];
        d.signers.set("targets", key ? [key] : []);
        d.assign(ecuConfig, "2.0.0", image);
      },
    ]),
    [
      "UPTANE_SIGNATURE_MISSING",
      "targets that the snapshot's keys have signed",
      (d) => {
        d.signers.set("targets", d.signers.get("snapshot") ?? []);
        d.assign(ecuConfig, "2.0.0", image);
      },
    ],
  ];
  test.each(cases)("refuses with %s: %s", async (code, _, change) => {
    const { rig, director } = await trustingEcu();
    change(director);
    expect(await verdict(rig, director.bundle())).toBe(code);
    expect(await rig.ask(ERASE)).toEqual(["7f3122"]);
    expect(await rig.ask(download(image.length))).toEqual(["7f3422"]);
    expect(flash(rig)).toEqual(["none", "none"]);
  });

  test("refuses metadata whose last byte is another", async () => {
    const { rig, director } = await trustingEcu();
    director.assign(ecuConfig, "2.0.0", image);
    const bundle = director.bundle();
    bundle.writeUInt8(bundle.readUInt8(bundle.length - 1) ^ 1, bundle.length - 1);
    expect(await verdict(rig, bundle)).toMatch(/^UPTANE_SIGNATURE/);
    expect(await verdict(rig, bundle.subarray(0, -1))).toBe("UPTANE_METADATA_MALFORMED");
  });

  test("takes no more into its memory than its bound, nor more than was announced", async () => {
    const { rig } = await trustingEcu();
    expect(await rig.ask(download(MAX_BUNDLE_BYTES + 1, METADATA_ADDRESS))).toEqual(["7f3431"]);
    expect(await rig.ask(download(0, METADATA_ADDRESS))).toEqual(["7f3431"]);
    await rig.expectPositive(download(10, METADATA_ADDRESS));
    const [more = ""] = transferRequests(Buffer.alloc(11), 0xffff);
    expect(await rig.ask(more)).toEqual(["7f3671"]);
    expect(await rig.ask(Uint8Array.of(0x37))).toEqual(["7f3724"]);
  });

  test("holds the image against what was assigned", async () => {
    const { rig, director } = await trustingEcu();
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle())).toBe("passed");
    await rig.expectPositive(ERASE);
    expect(await rig.ask(download(image.length + 1))).toEqual(["7f3431"]);

    const evil = Buffer.alloc(image.length, "evil");
    const requests = programmingRequests(evil, "2.0.0");
    await rig.expectPositive(...requests.slice(0, -3));
    const answers: string[][] = [];
    for (const request of requests.slice(-3)) answers.push(await rig.ask(request));
    // The check fails, the dependencies fail after it, and there is nothing to activate.
    expect(answers).toEqual([["710102020139"], ["7101ff0101"], ["7f3124"]]);
    await rig.ask("1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test("refuses the right image under the name of another release", async () => {
    const { rig, director } = await trustingEcu();
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle())).toBe("passed");
    await rig.expectPositive(...programmingRequests(image, "2.0.0").slice(0, -3));
    const named = encodeBankExpectation({ sha256: sha256(image), version: "3.0.0" });
    expect(await rig.ask(startRoutine(Rid.checkMemory, named))).toEqual(["710102020139"]);
  });

  test("activates no bank once something else is assigned", async () => {
    const { rig, director } = await trustingEcu();
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle())).toBe("passed");
    await rig.expectPositive(...programmingRequests(image, "2.0.0").slice(0, -1));
    director.targets.targets = {};
    director.assign(ecuConfig, "2.0.1", Buffer.from("another"));
    expect(await verdict(rig, director.bundle())).toBe("passed");
    expect(await rig.ask(startRoutine(Rid.activateBank))).toEqual(["7f3122"]);
  });

  test("checks and activates nothing once its assignment is over", async () => {
    const { rig, director } = await trustingEcu();
    director.assign(ecuConfig, "2.0.0", image);
    const bundle = director.bundle();
    const [check = ERASE, dependencies = ERASE, activate = ERASE] = programmingRequests(
      image,
      "2.0.0",
    ).slice(-3);
    expect(await verdict(rig, bundle)).toBe("passed");
    await rig.expectPositive(...programmingRequests(image, "2.0.0").slice(0, -3));
    expect(await verdict(rig, Buffer.from("nothing"))).toBe("UPTANE_METADATA_MALFORMED");
    expect(await rig.ask(check)).toEqual(["7f3122"]);

    expect(await verdict(rig, bundle)).toBe("passed");
    await rig.expectPositive(check, dependencies);
    expect(await verdict(rig, Buffer.from("nothing"))).toBe("UPTANE_METADATA_MALFORMED");
    expect(await rig.ask(activate)).toEqual(["7f3122"]);
    await rig.ask("1101");
    expect(await rig.version()).toBe("1.0.0");
  });

  test("gives up what it had when it refuses what comes next, or time runs out", async () => {
    let now = NOW;
    const { rig, director } = await trustingEcu({ now: () => now });
    // Before the root does.
    director.targets.expires = "2026-11-30T12:00:00Z";
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle())).toBe("passed");
    expect(await verdict(rig, Buffer.from("nothing"))).toBe("UPTANE_METADATA_MALFORMED");
    expect(await rig.ask(ERASE)).toEqual(["7f3122"]);

    expect(await verdict(rig, director.bundle())).toBe("passed");
    now = new Date(director.targets.expires);
    expect(await rig.ask(ERASE)).toEqual(["7f3122"]);

    now = NOW;
    director.root.expires = "2026-11-21T12:00:00Z";
    director.publish("root");
    expect(await verdict(rig, director.bundle())).toBe("passed");
    now = new Date(director.root.expires);
    expect(await rig.ask(ERASE)).toEqual(["7f3122"]);
  });

  test("follows new roots, and remembers everything without power", async () => {
    const { rig, director } = await trustingEcu();
    director.rotate("root");
    director.rotate("targets");
    director.assign(ecuConfig, "2.0.0", image);
    const old = director.bundle();
    expect(await verdict(rig, old)).toBe("passed");
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle(3))).toBe("passed");

    await rig.powerCycle();
    expect(await rig.ask("220110")).toEqual(["62011000000003"]);
    await rig.enterProgramming();
    expect(await rig.ask(ERASE)).toEqual(["7f3122"]);
    expect(await verdict(rig, old)).toBe("UPTANE_TARGETS_ROLLBACK");
    director.targets.targets = {};
    director.assign(ecuConfig, "1.5.0", image);
    expect(await verdict(rig, director.bundle(3))).toBe("UPTANE_RELEASE_ROLLBACK");
    const skipped = director.bundle(3);
    expect(await verdict(rig, skipped)).toBe("UPTANE_RELEASE_ROLLBACK");
  });

  test("takes no root out of turn", async () => {
    const { rig, director } = await trustingEcu();
    director.rotate("targets");
    director.rotate("targets");
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle(2))).toBe("UPTANE_ROOT_SKIPPED");
    expect(await verdict(rig, director.bundle(1))).toBe("passed");
  });

  test("begins anew with another root, as after the factory", async () => {
    const { rig, director } = await trustingEcu();
    director.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, director.bundle())).toBe("passed");
    const another = testDirector(ecuConfig.vin);
    await rig.powerCycle({}, { root: another.firstRoot, now: () => NOW });
    await rig.enterProgramming();
    expect(await verdict(rig, director.bundle())).toMatch(/^UPTANE_SIGNATURE/);
    another.assign(ecuConfig, "2.0.0", image);
    expect(await verdict(rig, another.bundle())).toBe("passed");
  });
});

test("an ECU without a director knows neither the memory nor the routine", async () => {
  const rig = await ecuRig();
  onTestFinished(() => rig.dispose());
  await rig.enterProgramming();
  expect(await rig.ask(download(10, METADATA_ADDRESS))).toEqual(["7f3431"]);
  expect(await rig.ask(startRoutine(Rid.verifyMetadata))).toEqual(["7f3131"]);
  expect(await rig.ask("220110")).toEqual(["7f2231"]);
});
