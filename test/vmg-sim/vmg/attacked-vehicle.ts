import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished, vi } from "vitest";
import type { TargetFile } from "#protocol/uptane/metadata.ts";
import { testFolder } from "#test/helpers/folder.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";
import type { Pace } from "#vmg-sim/vmg/pace.ts";
import type { UpdateSummary } from "#vmg-sim/vmg/update-summary.ts";
import { tamperingGateway, type Repositories, type TamperingGateway } from "./tampering-gateway.ts";
import { testVehicle, type TestVehicle } from "./test-vehicle.ts";

/** A vehicle that reaches its gateway through somebody else. */
export function vehicleBehind(
  tampering: TamperingGateway,
  vin: string,
  stateDir = testFolder(),
  pace?: Pace,
): Promise<TestVehicle> {
  return testVehicle(
    { ...tampering.gateway, url: tampering.url },
    {
      vin,
      stateDir,
      ...(pace && { pace }),
      provisioning: (made) => ({ ...made, roots: tampering.roots }),
    },
  );
}

export const update = (vehicle: TestVehicle): Promise<UpdateSummary> =>
  vehicle.agent.updater.update({ reason: "test" }, new AbortController().signal);

/** The bytes of every bank of every ECU. */
export function flash({ folder, hardware }: TestVehicle): Record<string, string> {
  const banks = hardware.zones.flatMap(({ ecus }) =>
    ecus.flatMap(({ ecu_id }) => ["a", "b"].map((bank) => join(ecu_id, `bank-${bank}.bin`))),
  );
  return Object.fromEntries(
    banks.map((bank) => {
      const file = join(folder, "ecus", bank);
      const bytes = existsSync(file) ? readFileSync(file) : undefined;
      return [bank, bytes ? createHash("sha256").update(bytes).digest("hex") : "none"];
    }),
  );
}

/** The error of the vehicle's newest update, as the gateway has heard of it. */
export function reported(
  { admin }: TestGateway,
  vin: string,
  updates: number,
): Promise<string | undefined> {
  return vi.waitFor(
    async () => {
      const { json } = await admin.send("GET", `/api/v1/updates?vin=${vin}`);
      const items = json.items as { completed_at: string | null; error: { code: string } | null }[];
      const hasEnded = items.length >= updates && items[0]?.completed_at;
      if (!hasEnded) throw new Error("the update has not ended yet");
      return items[0]?.error?.code;
    },
    { timeout: 60_000 },
  );
}

export type Custom = TargetFile & { custom: Record<string, unknown> };

/** The only target of the director. */
function target({ director }: Repositories): { path: string; file: Custom } {
  const [found] = Object.entries(structuredClone(director.targets.targets));
  const [path, file] = found ?? [];
  if (path === undefined || file?.custom === undefined) throw new Error("nothing is assigned");
  return { path, file: { ...file, custom: file.custom } };
}

/** Changes the director's target, and the image repository's with it unless it is to differ. */
export const retarget =
  (change: (file: Custom) => void, both = false) =>
  (repositories: Repositories) => {
    const { path, file } = target(repositories);
    change(file);
    repositories.director.targets.targets[path] = file;
    const image = repositories.image.targets.targets[path];
    if (both && image) {
      const { length, hashes } = file;
      repositories.image.targets.targets[path] = { ...image, length, hashes };
    }
  };
export const packageOf = (file: { custom: Record<string, unknown> }) =>
  file.custom["package"] as Record<string, unknown>;
export type Attack = TamperingGateway["attack"];

/** The attacker of one vehicle, gone with the running test. */
export async function attacker(gateway: TestGateway, vin: string): Promise<TamperingGateway> {
  const tampering = await tamperingGateway(gateway, vin);
  onTestFinished(() => tampering.close());
  return tampering;
}

export const downloads = ({ asked }: TamperingGateway) =>
  asked.filter((path) => path.includes("/ota/package/"));
