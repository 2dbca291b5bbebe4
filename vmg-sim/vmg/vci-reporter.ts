import type { Logger } from "pino";
import type { VciAnswer } from "#protocol/api/ota.ts";
import type { PolicyAnswer } from "#protocol/api/policy.ts";
import type { VciEcu } from "#protocol/api/vci.ts";
import type { AgentEvent } from "./event.ts";
import type { GatewayClient } from "./gateway-client.ts";
import { collectInventory } from "./inventory.ts";
import type { Pace } from "./pace.ts";
import type { VehicleNetwork } from "./vehicle-network.ts";
import type { VehicleProof } from "./vehicle-proof.ts";

export interface VciReporterDeps {
  vin: string;
  network: VehicleNetwork;
  client: GatewayClient;
  proof: VehicleProof;
  pace: Pace;
  log: Logger;
  onEvent: (event: AgentEvent) => void;
  /** The gateway takes no VCI of a vehicle that has not registered. */
  registered: Promise<void>;
}

/** Tells the gateway which ECUs the vehicle has, with which versions. */
export interface VciReporter {
  /** The versions as they were last collected. */
  readonly versions: ReadonlyMap<string, string>;
  /** The ECUs as they were last collected, or are now. @throws InventoryError, the signal's reason */
  ecus(signal: AbortSignal): Promise<readonly VciEcu[]>;
  /** What the gateway has last said of when to update. */
  readonly policy: PolicyAnswer | undefined;
  /** What the next VCIs tell of attacks, by ECU id. */
  noteAttacks(attacks: ReadonlyMap<string, string>): void;
  /** Collects a VCI and submits it. @throws InventoryError, GatewayError, the signal's reason */
  submit(reason: string, signal: AbortSignal): Promise<VciAnswer>;
}

export function vciReporter(deps: VciReporterDeps): VciReporter {
  const { client, proof, pace, onEvent, registered } = deps;
  let versions: ReadonlyMap<string, string> = new Map();
  let ecus: readonly VciEcu[] | undefined;
  let policy: PolicyAnswer | undefined;
  let attacks: ReadonlyMap<string, string> = new Map();
  return {
    get versions() {
      return versions;
    },
    get policy() {
      return policy;
    },
    async ecus(signal) {
      ecus ??= (await collectInventory(deps, "verification", signal)).vci.ecus;
      return ecus;
    },
    noteAttacks(detected) {
      attacks = detected;
    },
    async submit(reason, signal) {
      await registered;
      const started = pace.now().getTime();
      const { vci: collectedVci, silent } = await collectInventory(deps, reason, signal);
      const vci = await proof.signed(collectedVci, attacks);
      ecus = vci.ecus;
      versions = new Map(vci.ecus.map((ecu) => [ecu.ecu_id, ecu.software_version]));
      const collected = pace.now().getTime();
      onEvent({ type: "vci_collected", vci, silent, duration_ms: collected - started });
      const answer = await client.submitVci(vci, signal);
      ({ policy } = answer);
      const duration_ms = pace.now().getTime() - collected;
      onEvent({ type: "vci_answered", vci, answer, duration_ms });
      return answer;
    },
  };
}
