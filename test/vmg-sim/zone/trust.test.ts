import { existsSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { systemClock } from "#protocol/doip/clock.ts";
import { decodeRefusal } from "#protocol/uds/metadata-verdict.ts";
import { encodeRequestDownload, startRoutine } from "#protocol/uds/programming.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { NOW } from "#test/protocol/uptane/test-repository.ts";
import {
  metadataRequests,
  sha256,
  testDirector,
  type TestDirector,
} from "#test/vmg-sim/ecu/director.ts";
import { ecuConfig, programmingRequests } from "#test/vmg-sim/ecu/ecu-rig.ts";
import { startEcuNode } from "#vmg-sim/ecu/node.ts";
import { flashEcu, restartIntoNewBank } from "#vmg-sim/vmg/flash.ts";
import { createUdsLink, type UdsLink } from "#vmg-sim/vmg/uds-link.ts";
import { startZone } from "#vmg-sim/zone/zone.ts";
import {
  FIRST,
  flashOptions,
  GROUP,
  SECOND,
  securityKey,
  vehicleRig,
  type VehicleRig,
} from "./vehicle-rig.ts";

const VIN = "WAUZZZ8V0JA000001";
const ZONE = 0x1000;
const image = Buffer.alloc(50_000, "firmware");
const E1 = { ecu_id: "E1", ecu_type: "brake-controller", hardware_version: "HW-1.0" };
const HARDWARE = { hardware_id: hardwareId(E1.ecu_type, E1.hardware_version) };
const ERASE = startRoutine(Rid.eraseMemory);
const download = encodeRequestDownload({ dataFormat: 0, address: 0, length: image.length });

let rig: VehicleRig;
let director: TestDirector;

beforeEach(async () => {
  director = testDirector(VIN);
  rig = await vehicleRig({}, {}, { root: director.firstRoot, now: () => NOW });
  onTestFinished(() => rig.dispose());
});

async function ask(target: number, request: Uint8Array, link: UdsLink = rig.link): Promise<string> {
  return Buffer.from(await link.request(target, request)).toString("hex");
}

async function unlock(target: number): Promise<void> {
  for (const session of ["1003", "1002"]) await ask(target, Buffer.from(session, "hex"));
  const seed = Buffer.from((await ask(target, Uint8Array.of(0x27, 1))).slice(4), "hex");
  expect(await ask(target, Uint8Array.of(0x27, 2, ...securityKey(1, seed)))).toBe("6702");
}

/** Hands metadata to an ECU or to the zonal gateway. */
async function hand(target: number, bundle: Uint8Array): Promise<string> {
  await unlock(target);
  let answer = "";
  for (const request of metadataRequests(bundle)) answer = await ask(target, request);
  if (answer === "7101020700") return "passed";
  return decodeRefusal(Buffer.from(answer.slice(8), "hex")) ?? answer;
}

const isFlashed = (ecu: string) => existsSync(join(rig.stateFolder, ecu, "bank-b.bin"));

describe("a zonal gateway that trusts a director", () => {
  test("lets an ECU be written after both have verified its assignment", async () => {
    director.assign(E1, "2.0.0", image);
    expect(await hand(FIRST, director.bundle())).toBe("passed");
    expect(await ask(FIRST, ERASE)).toBe("7f3122");
    expect(await ask(FIRST, download)).toBe("7f3422");

    expect(await hand(ZONE, director.bundle())).toBe("passed");
    for (const request of programmingRequests(image, "2.0.0")) {
      expect(await ask(FIRST, request)).not.toMatch(/^7f/);
    }
    expect(isFlashed("E1")).toBe(true);
    await ask(FIRST, Buffer.from("1101", "hex"));
  });

  test("lets no other ECU be written, and no other length", async () => {
    director.assign(E1, "2.0.0", image);
    expect(await hand(ZONE, director.bundle())).toBe("passed");
    await unlock(SECOND);
    expect(await ask(SECOND, ERASE)).toBe("7f3122");
    expect(await ask(SECOND, download)).toBe("7f3422");
    expect(await hand(FIRST, director.bundle())).toBe("passed");
    const longer = encodeRequestDownload({ dataFormat: 0, address: 0, length: image.length + 1 });
    expect(await ask(FIRST, longer)).toBe("7f3422");
    // A length in a field of 15 bytes: not to be read here, so not to be passed on.
    expect(await ask(FIRST, Uint8Array.of(0x34, 0, 0xf4, 0, 0, 0, 0, 1))).toBe("7f3422");
    expect([isFlashed("E1"), isFlashed("E2")]).toEqual([false, false]);
  });

  test("refuses the end of another image of the same length, and takes the right one then", async () => {
    director.assign(E1, "2.0.0", image);
    expect(await hand(ZONE, director.bundle())).toBe("passed");
    expect(await hand(FIRST, director.bundle())).toBe("passed");
    const other = Buffer.alloc(image.length, "malware!");
    const requests = programmingRequests(other, "2.0.0", 0x1000);
    const exit = requests.findIndex(([sid]) => sid === 0x37);
    for (const request of requests.slice(0, exit)) {
      expect(await ask(FIRST, request)).not.toMatch(/^7f/);
    }
    expect(await ask(FIRST, Uint8Array.of(0x37))).toBe("7f3772");
    const checked = await ask(FIRST, requests[exit + 1] ?? ERASE);
    expect(decodeRefusal(Buffer.from(checked.slice(8), "hex"))).toBe("UPTANE_IMAGE_MISMATCH");

    expect(await hand(FIRST, director.bundle())).toBe("passed");
    for (const request of programmingRequests(image, "2.0.0")) {
      expect(await ask(FIRST, request)).not.toMatch(/^7f/);
    }
    await ask(FIRST, Buffer.from("1101", "hex"));
  });

  test("lets a whole group be erased no more than one of it", async () => {
    director.assign(E1, "2.0.0", image);
    // The ECU would let itself be erased.
    expect(await hand(FIRST, director.bundle())).toBe("passed");
    await unlock(SECOND);
    const answers = await rig.link.requestFunctional(GROUP, ERASE, 300);
    const heard = answers.map(({ source, response }) => [
      source,
      Buffer.from(response).toString("hex"),
    ]);
    expect(heard.toSorted(([a], [b]) => Number(a) - Number(b))).toEqual([
      [FIRST, "7f3122"],
      [SECOND, "7f3122"],
    ]);
  });

  test.each<[string, string, () => void]>([
    [
      "UPTANE_ECU_UNKNOWN",
      "nothing for its zone",
      () => director.assign({ ...E1, ecu_id: "E9" }, "2.0.0", image),
    ],
    [
      "UPTANE_HARDWARE_MISMATCH",
      "other hardware",
      () => director.assign({ ...E1, hardware_version: "HW-2.0" }, "2.0.0", image),
    ],
    [
      "UPTANE_HARDWARE_MISMATCH",
      "an image for another type of ECU",
      () => director.assign({ ...E1, ecu_type: "lights" }, "2.0.0", image, HARDWARE),
    ],
    [
      "UPTANE_SIGNATURE_MISSING",
      "no post-quantum signature",
      () => {
        director.signers.set("targets", (director.signers.get("targets") ?? []).slice(0, 1));
        director.assign(E1, "2.0.0", image);
      },
    ],
    [
      "UPTANE_VIN_MISMATCH",
      "another vehicle's",
      () => {
        director.targets["custom"] = { vin: "VMG-002" };
        director.assign(E1, "2.0.0", image);
      },
    ],
  ])("refuses with %s by itself: %s", async (code, _, change) => {
    change();
    expect(await hand(ZONE, director.bundle())).toBe(code);
    await unlock(FIRST);
    expect(await ask(FIRST, ERASE)).toBe("7f3122");
    expect(isFlashed("E1")).toBe(false);
  });

  test("forgets what may be written when it restarts, but not what it trusts", async () => {
    director.rotate("targets");
    director.assign(E1, "2.0.0", image);
    expect(await hand(ZONE, director.bundle())).toBe("passed");
    await ask(ZONE, Buffer.from("1101", "hex"));
    expect(await ask(ZONE, Buffer.from("220110", "hex"))).toBe("62011000000002");
    expect(await hand(FIRST, director.bundle())).toBe("passed");
    expect(await ask(FIRST, ERASE)).toBe("7f3122");
    const old = director.bundle(2);
    director.assign(E1, "2.0.0", image);
    expect(await hand(ZONE, director.bundle(2))).toBe("passed");
    expect(await hand(ZONE, old)).toBe("UPTANE_TARGETS_ROLLBACK");
  });

  test("keeps its word when the tester is another, and out of the way of diagnostics", async () => {
    director.assign(E1, "2.0.0", image);
    expect(await hand(ZONE, director.bundle())).toBe("passed");
    const workshop = rig.connect({ testerAddress: 0x0e90 });
    expect(await ask(SECOND, Buffer.from("22f195", "hex"), workshop)).toBe("62f195312e302e30");
    expect(await ask(SECOND, download, workshop)).toBe("7f3422");
    expect(await ask(SECOND, Buffer.from("31010205", "hex"), workshop)).toBe("7f317f");
  });
});

test("a zonal gateway stands in for an ECU that verifies nothing", async () => {
  const folder = testFolder();
  const host = "127.0.0.1";
  const node = await startEcuNode({
    config: ecuConfig,
    stateFolder: folder,
    clock: systemClock,
    behaviour: {},
    host,
    functionalAddresses: [],
  });
  const length = image.length;
  const signed = { length, hashes: { sha256: sha256(image).toString("hex") } };
  const zone = await startZone({
    logical_address: ZONE,
    functional_address: GROUP,
    host,
    port: 0,
    ecus: [{ logical_address: FIRST, host, port: node.port }],
    clock: systemClock,
    imageFor: () => signed,
  });
  const link = createUdsLink({ host, port: zone.port });
  onTestFinished(async () => {
    link.close();
    await zone.stop();
    await node.stop();
  });
  const flash = (bytes: Buffer) => flashEcu(link, FIRST, flashOptions(bytes, "2.0.0"));
  await expect(flash(Buffer.alloc(length, "malware!"))).rejects.toMatchObject({ wireCode: 0x72 });
  await flash(image);
  await restartIntoNewBank(link, FIRST);
  expect(node.ecu.softwareVersion).toBe("2.0.0");
});
