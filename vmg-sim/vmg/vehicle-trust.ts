import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Type } from "typebox";
import type { VciEcu } from "#protocol/api/vci.ts";
import { encodeEcuBundle } from "#protocol/uptane/ecu-bundle.ts";
import {
  verifyFully,
  type VehicleStep,
  type VerifiedAssignment,
} from "#protocol/uptane/full-verification.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { knownReleaseCounter } from "#protocol/uptane/release-counter.ts";
import type { TrustedKeys } from "#protocol/uptane/key.ts";
import { runWorkflow } from "#protocol/uptane/run-workflow.ts";
import { targetsEnd, type TrustedRepository } from "#protocol/uptane/trusted.ts";
import { UptaneError } from "#protocol/uptane/uptane-error.ts";
import {
  newVehicleState,
  restoreVehicleState,
  storeVehicleState,
  type RepositoryName,
  type VehicleState,
} from "#protocol/uptane/vehicle-state.ts";
import type { AgentEvent } from "./event.ts";
import { fetchMetadata, type MetadataFetchDeps } from "./metadata-fetch.ts";
import { replaceFile, stateFile } from "./state-file.ts";

/** The first roots of both repositories, which the vehicle is built with. */
export type TrustRoots = Readonly<Record<RepositoryName, Uint8Array>>;

export interface VehicleTrustDeps extends MetadataFetchDeps {
  roots: TrustRoots;
  folder: string;
  vin: string;
  /** Of the last VCI. */
  nonce: () => Promise<string | undefined>;
  /** The ECUs as they are now. */
  ecus: (signal: AbortSignal) => Promise<readonly VciEcu[]>;
  onEvent: (event: AgentEvent) => void;
}

/** Full verification (Uptane 2.1) with all that the vehicle remembers of it. */
export interface VehicleTrust {
  /**
   * Fetches and verifies what the director assigns now. What is trusted from then on is on disk when
   * this returns; a new root is at once.
   * @throws UptaneError for every refusal; GatewayError, the signal's reason
   */
  authorize(updateId: string, signal: AbortSignal): Promise<readonly VerifiedAssignment[]>;
  /**
   * When zonal gateways and ECUs stop taking the director's metadata that were verified last, in
   * milliseconds since the epoch.
   */
  validUntil(): Promise<number>;
  /**
   * The director's metadata as it was verified last, for an ECU that trusts this version of its root.
   * @throws UptaneError UPTANE_METADATA_*
   */
  bundle(knownRoot: number): Promise<Uint8Array>;
  /** The keys that sign packages: those of the director's targets, by the root that is trusted now. */
  packageKeys(): Promise<TrustedKeys>;
}

const StoredTrust = Type.Object({ built_with: Type.String(), state: Type.Unknown() });

export function vehicleTrust(deps: VehicleTrustDeps): VehicleTrust {
  const { roots, folder, pace, vin } = deps;
  const file = stateFile(join(folder, "trust-state.json"), StoredTrust);
  const rootFile = (version: number) => join(folder, "director-roots", `${version}.root.json`);
  // A vehicle that is given other roots in the factory begins anew.
  const hash = createHash("sha256").update(roots.director).update(roots.image);
  const built_with = hash.digest("hex");

  async function load(): Promise<VehicleState> {
    const stored = await file.read();
    return stored?.built_with === built_with
      ? restoreVehicleState(stored.state, {})
      : newVehicleState(roots, {});
  }

  const keep = (state: VehicleState) => file.write({ built_with, state: storeVehicleState(state) });

  async function keepRoot(step: Extract<VehicleStep, { kind: "root" }>): Promise<void> {
    const { root } = step.state.director;
    // First, for ECUs are behind: they need every root in between.
    if (step.repository === "director") {
      await replaceFile(rootFile(root.signed.version), root.bytes.toString("utf8"));
    }
    await keep(step.state);
  }

  return {
    async authorize(updateId, signal) {
      const started = performance.now();
      const fetched = { files: 0, bytes: 0, ms: 0 };
      const vehicle = {
        vin,
        // No nonce fits when none was given out.
        nonce: (await deps.nonce()) ?? "",
        expectsUpdate: true,
        ecus: (await deps.ecus(signal)).map(vehicleEcu),
      };
      const workflow = verifyFully(await load(), vehicle, { now: pace.now() });
      const { state, assignments } = await runWorkflow(workflow, async (step) => {
        if (step.kind === "root") {
          await keepRoot(step);
          return undefined;
        }
        const asked = performance.now();
        const bytes = await fetchMetadata(deps, step, signal);
        fetched.files += 1;
        fetched.bytes += bytes?.length ?? 0;
        fetched.ms += performance.now() - asked;
        return bytes;
      });
      await keep(state);
      deps.onEvent({
        type: "assignments_verified",
        update_id: updateId,
        assignments: assignments.map(summaryOf),
        versions: { director: versionsOf(state, "director"), image: versionsOf(state, "image") },
        files: fetched.files,
        bytes: fetched.bytes,
        fetch_ms: Math.round(fetched.ms),
        duration_ms: Math.round(performance.now() - started),
      });
      return assignments;
    },
    validUntil: async () => targetsEnd((await load()).director),
    packageKeys: async () => targetsKeys((await load()).director),
    async bundle(knownRoot) {
      const { director } = await load();
      if (director.targets === undefined) throw missing("targets");
      const newer = Math.max(0, director.root.signed.version - knownRoot);
      const files = Array.from({ length: newer }, (_, index) => rootFile(knownRoot + 1 + index));
      return encodeEcuBundle({
        roots: await Promise.all(files.map(readRoot)),
        targets: director.targets.bytes,
      });
    },
  };
}

function summaryOf({ ecu: { ecu_id }, path, signedBy: signed_by }: VerifiedAssignment) {
  return { ecu_id, path, signed_by };
}

function targetsKeys({ root }: TrustedRepository): TrustedKeys {
  const { keyids } = root.signed.roles.targets;
  return new Map([...root.keys].filter(([id]) => keyids.includes(id)));
}

function vehicleEcu({ ecu_id, ecu_type, hardware_version, software_version }: VciEcu) {
  return {
    ecuId: ecu_id,
    hardwareId: hardwareId(ecu_type, hardware_version),
    ecuType: ecu_type,
    version: software_version,
    releaseCounter: knownReleaseCounter(software_version) ?? 0,
  };
}

function versionsOf(state: VehicleState, repository: RepositoryName): Record<string, number> {
  const { root, timestamp, snapshot, targets } = state[repository];
  const versions = { root, timestamp, snapshot, targets };
  return Object.fromEntries(
    Object.entries(versions).map(([role, metadata]) => [role, metadata?.signed.version ?? 0]),
  );
}

async function readRoot(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch {
    throw missing("root");
  }
}

function missing(role: string): UptaneError {
  return new UptaneError("UPTANE_METADATA_MISSING", role, "the vehicle does not have it");
}
