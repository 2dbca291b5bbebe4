import { join } from "node:path";
import pino from "pino";
import { describe, expect, it } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { hmacKey } from "#protocol/uds/security-key.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { samplePackage } from "#test/protocol/package/sample.ts";
import { backUp, restartAll, type InstallDeps } from "#vmg-sim/vmg/install.ts";
import type { VerifiedPackage } from "#vmg-sim/vmg/package-file.ts";
import { stateFile } from "#vmg-sim/vmg/state-file.ts";
import { updateSession, type UpdateSession } from "#vmg-sim/vmg/update-session.ts";
import { UpdateRecord, type UpdateEcu } from "#vmg-sim/vmg/update-state.ts";
import { hardwareNetwork } from "./hardware-network.ts";
import { stillPace } from "./still-pace.ts";

const [template] = (await samplePackage()).layout.manifest.zones.flatMap(({ ecus }) => ecus);
const { signal } = new AbortController();

/** An update of the brakes from the version that they run, unless the test says otherwise. */
async function begun(
  change: Partial<UpdateEcu>,
  phase: UpdateRecord["phase"],
  more: readonly UpdateEcu[] = [],
) {
  const { network } = await hardwareNetwork("VMG-001");
  const planned = { ecu_id: "ECU_001", zone_id: "ZG-FRONT", from_version: "1.0.0" };
  const pace = stillPace();
  const onEvent = () => {};
  const session: UpdateSession = updateSession(
    {
      file: stateFile(join(testFolder(), "update.json"), UpdateRecord),
      pace,
      log: pino({ level: "silent" }),
      send: async () => {},
      onEvent,
    },
    {
      update_id: "01a1fa93-83c0-773c-8d01-0d1eed73784e",
      package_id: "pkg-1",
      download_url: "/x",
      size: 1000,
      checksum: "sha256:00",
      phase,
      progress: 0,
      resumes: 0,
      ecus: [{ ...planned, to_version: "2.0.0", step: "waiting", ...change }, ...more],
    },
  );
  const { uds } = loadVehicleConfig({});
  const deps: InstallDeps = {
    network,
    securityKey: hmacKey(uds.security_secrets),
    trust: undefined,
    healthCheck: { retries: 1, interval_ms: 1 },
    pace,
    onEvent,
  };
  return { deps, session };
}

/** A package with an image for the brakes, or for another type of ECU. */
function packageFor(ecu_type = "brake-controller"): VerifiedPackage {
  if (template === undefined) throw new Error("the sample has ECUs");
  const ecu = { ...template, ecu_id: "ECU_001", ecu_type, version: "2.0.0" };
  return { file: "none", images: [{ zone_id: "ZG-FRONT", ecu, offset: 0 }] };
}

describe("before an installation", () => {
  it.each<[string, Partial<UpdateEcu>, VerifiedPackage, string]>([
    ["is not there", { ecu_id: "ECU_009" }, packageFor(), "ECU_UNKNOWN"],
    ["runs another version", { from_version: "0.9.0" }, packageFor(), "ECU_VERSION_UNEXPECTED"],
    ["is of another type", {}, packageFor("steering-controller"), "ECU_TYPE_MISMATCH"],
  ])("an ECU that %s stops it", async (_name, change, pkg, code) => {
    const { deps, session } = await begun(change, "backing_up");
    await expect(backUp(deps, session, pkg, signal)).rejects.toMatchObject({ code });
    expect(session.record.phase).toBe("backing_up");
  });

  it("ECUs that are what the package was made for let it begin", async () => {
    const { deps, session } = await begun({}, "backing_up");
    await backUp(deps, session, packageFor(), signal);
    expect(session.record.phase).toBe("installing");
    expect(session.record.ecus).toMatchObject([{ install_order: template?.install_order }]);
  });
});

it("an ECU that comes back with its old version has not installed anything", async () => {
  const { deps, session } = await begun({ step: "flashed" }, "restarting");
  await expect(restartAll(deps, session, signal)).rejects.toMatchObject({
    code: "ECU_NOT_RESTARTED",
  });
  expect(session.record.ecus).toMatchObject([{ step: "flashed" }]);
});

it("ECUs are restarted by install_order, also those of different zones", async () => {
  const { deps, session } = await begun({ step: "flashed", install_order: 1 }, "restarting", [
    {
      ecu_id: "ECU_003",
      zone_id: "ZG-REAR",
      from_version: "1.0.0",
      to_version: "2.0.0",
      install_order: 0,
      step: "flashed",
    },
  ]);
  // Neither has anything to come back with: where it ends is where it began.
  await expect(restartAll(deps, session, signal)).rejects.toThrow("ECU_003 runs 1.0.0");
});
