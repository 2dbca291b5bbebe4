import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  encodeBankExpectation,
  encodeRequestDownload,
  startRoutine,
} from "#protocol/uds/programming.ts";
import { Rid } from "#protocol/uds/rid.ts";
import { demoSecrets, hmacKey } from "#protocol/uds/security-key.ts";
import { manualClock, type ManualClock } from "#test/protocol/doip/manual-clock.ts";
import type { AuthenticationOptions } from "#vmg-sim/ecu/tester-trust.ts";
import type { EcuBehaviour } from "#vmg-sim/ecu/behaviour.ts";
import type { EcuConfig } from "#vmg-sim/ecu/config.ts";
import { startEcu, type Ecu, type RequestOrigin } from "#vmg-sim/ecu/ecu.ts";
import type { TrustOptions } from "#vmg-sim/ecu/trust.ts";

export const ecuConfig: EcuConfig = {
  ecu_id: "ECU_001",
  logical_address: 0x1001,
  ecu_type: "brake-controller",
  hardware_version: "HW-1.2",
  software_version: "1.0.0",
  serial_number: "SN-0001",
  vin: "WAUZZZ8V0JA000001",
  supplier: "ACME",
  bootloader_version: "0.9.1",
  manufacturing_date: "2026-03-31",
  dtcs: [
    { code: "P0562-16", status: 0x2f },
    { code: "U0121-00", status: 0x0c },
    { code: "C0035-11", status: 0x50 },
  ],
};

/** An ECU on a clock of its own, asked directly. */
export interface EcuRig {
  readonly ecu: Ecu;
  readonly clock: ManualClock;
  readonly folder: string;
  readonly faults: unknown[];
  readonly events: string[];
  /** Sends a request in hex; resolves with all its answers in hex once it is finished. */
  ask(request: string | Uint8Array, origin?: Partial<RequestOrigin>): Promise<string[]>;
  /** Asks several, one after the other. @throws when one of them is not answered positively */
  expectPositive(...requests: (string | Uint8Array)[]): Promise<void>;
  unlock(level?: number): Promise<void>;
  enterProgramming(): Promise<void>;
  /** Everything of the flow from the erasing to the activation. */
  program(image: Uint8Array, version: string, blockLength?: number): Promise<void>;
  version(): Promise<string>;
  /** Switches the ECU off and on again, as with the process that runs it. */
  powerCycle(behaviour?: EcuBehaviour, trust?: TrustOptions): Promise<void>;
  /** @throws when the ECU had a fault that nobody looked at */
  dispose(): Promise<void>;
}

export async function ecuRig(
  config: Partial<EcuConfig> = {},
  behaviour: EcuBehaviour = {},
  folder?: string,
  trust?: TrustOptions,
  authentication?: AuthenticationOptions,
): Promise<EcuRig> {
  const stateFolder = folder ?? (await mkdtemp(join(tmpdir(), "latticeway-ecu-")));
  const clock = manualClock();
  const faults: unknown[] = [];
  const events: string[] = [];
  const start = (behaviour: EcuBehaviour, trusted = trust) =>
    startEcu({
      trust: trusted,
      authentication,
      config: { ...ecuConfig, ...config },
      stateFolder,
      clock,
      behaviour,
      onReset: () => events.push("down"),
      onRestarted: () => events.push("up"),
      onFault: (error) => faults.push(error),
    });
  let ecu = await start(behaviour);

  const rig: EcuRig = {
    get ecu() {
      return ecu;
    },
    clock,
    folder: stateFolder,
    faults,
    events,
    async ask(request, origin = {}) {
      const answers: string[] = [];
      const bytes = typeof request === "string" ? Buffer.from(request, "hex") : request;
      await ecu.handle(bytes, { source: 0x0e80, functional: false, ...origin }, (response) =>
        answers.push(hexOf(response)),
      );
      return answers;
    },
    async expectPositive(...requests) {
      for (const request of requests) {
        const [answer = "nothing"] = await rig.ask(request);
        if (answer.startsWith("7f") || answer === "nothing") {
          const asked = typeof request === "string" ? request : hexOf(request.subarray(0, 40));
          throw new Error(`${asked} was answered with ${answer}`);
        }
      }
    },
    async unlock(level = 1) {
      const [seed = ""] = await rig.ask(Uint8Array.of(0x27, level));
      const key = hmacKey(demoSecrets)(level, Buffer.from(seed.slice(4), "hex"));
      await rig.expectPositive(Uint8Array.of(0x27, level + 1, ...key));
    },
    async enterProgramming() {
      await rig.expectPositive("1003", "1002");
      await rig.unlock();
    },
    async program(image, version, blockLength) {
      await rig.expectPositive(...programmingRequests(image, version, blockLength));
    },
    async version() {
      const [answer = ""] = await rig.ask("22f195");
      return Buffer.from(answer.slice(6), "hex").toString();
    },
    async powerCycle(behaviour = {}, trusted = trust) {
      await ecu.stop();
      ecu = await start(behaviour, trusted);
    },
    async dispose() {
      await ecu.stop();
      if (folder === undefined) await rm(stateFolder, { recursive: true });
      if (faults.length > 0) throw new AggregateError(faults, "the ECU had faults");
    },
  };
  return rig;
}

/** The requests that follow the unlocking, up to the activation. */
export function programmingRequests(
  image: Uint8Array,
  version: string,
  blockLength = 0xffff,
): Uint8Array[] {
  const sha256 = createHash("sha256").update(image).digest();
  return [
    startRoutine(Rid.eraseMemory),
    encodeRequestDownload({ dataFormat: 0, address: 0, length: image.length }),
    ...transferRequests(image, blockLength),
    Uint8Array.of(0x37),
    startRoutine(Rid.checkMemory, encodeBankExpectation({ sha256, version })),
    startRoutine(Rid.checkProgrammingDependencies),
    startRoutine(Rid.activateBank),
  ];
}

export function transferRequests(image: Uint8Array, blockLength: number): Uint8Array[] {
  const step = blockLength - 2;
  return Array.from({ length: Math.ceil(image.length / step) }, (_, index) =>
    Buffer.concat([
      Uint8Array.of(0x36, (index + 1) & 0xff),
      image.subarray(index * step, (index + 1) * step),
    ]),
  );
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
