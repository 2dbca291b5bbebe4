import { createHash } from "node:crypto";
import type { Assignment, VehicleEcu } from "#protocol/uptane/assignment.ts";
import { decodeEcuBundle } from "#protocol/uptane/ecu-bundle.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import {
  restoreEcuState,
  storeEcuState,
  verifyPartially,
  type EcuState,
} from "#protocol/uptane/partial-verification.ts";
import { knownReleaseCounter } from "#protocol/uptane/release-counter.ts";
import { targetsEnd, trustRoot } from "#protocol/uptane/trusted.ts";
import { verifyNoble } from "#protocol/uptane/verify-noble.ts";
import type { CompleteEcuConfig } from "./config.ts";
import type { StateStore } from "./state-file.ts";

export interface TrustOptions {
  /** The director's root that the ECU was built with, as a metadata file. */
  root: Uint8Array;
  /** Secure time. */
  now?: () => Date;
  /** A zonal gateway's: the ECUs behind it, whose assignments it looks at in place of its own. */
  ecus?: readonly VehicleEcu[];
}

/** Images that may be written, by ECU id, and until when. */
export interface Assigned {
  images: ReadonlyMap<string, Assignment>;
  /** Milliseconds since the epoch. */
  until: number;
}

/** Partial verification (Uptane 2.1) with what the ECU remembers of it. */
export interface EcuTrust {
  /** Of the director's root. @throws UptaneError UPTANE_STATE_MALFORMED */
  rootVersion(): number;
  /**
   * Verifies what the VMG has handed over; what is trusted from then on is on disk when this returns.
   * @throws UptaneError
   */
  verify(bundle: Uint8Array): Promise<Assigned>;
  /** The image that an ECU may be written with now. */
  imageFor(ecuId: string, assigned: Assigned | undefined): Assignment | undefined;
}

interface TrustingEcu {
  config: CompleteEcuConfig;
  store: StateStore;
  /** Version of the image that runs. */
  version: () => string;
}

/** The signatures are verified in JavaScript alone, as an ECU without OpenSSL has to. */
const VERIFY = { verify: verifyNoble };

export function ecuTrust(
  { root, now = () => new Date(), ecus }: TrustOptions,
  { config, store, version }: TrustingEcu,
): EcuTrust {
  // An ECU that is given another root in the factory begins anew.
  const builtWith = createHash("sha256").update(root).digest("hex");
  let known: EcuState | undefined;

  /** Read when it is needed first: a power-on need not wait for signatures. */
  function state(): EcuState {
    const stored = store.current.trust;
    known ??=
      stored?.built_with === builtWith
        ? restoreEcuState(stored.state, VERIFY)
        : { director: trustRoot(root, VERIFY), releaseCounters: new Map() };
    return known;
  }

  const self = (): VehicleEcu => ({
    ecuId: config.ecu_id,
    hardwareId: hardwareId(config.ecu_type, config.hardware_version),
    ecuType: config.ecu_type,
    releaseCounter: knownReleaseCounter(version()) ?? 0,
  });

  return {
    rootVersion: () => state().director.root.signed.version,
    async verify(bundle) {
      const files = decodeEcuBundle(bundle);
      const checks = { ...VERIFY, now: now(), vin: config.vin };
      const verified = verifyPartially(state(), files, ecus ?? [self()], checks);
      const trust = { built_with: builtWith, state: storeEcuState(verified.state) };
      await store.save({ ...store.current, trust });
      known = verified.state;
      const images = verified.assignments.map((one) => [one.ecu.ecu_id, one] as const);
      return { images: new Map(images), until: targetsEnd(known.director) };
    },
    imageFor: (ecuId, assigned) =>
      assigned !== undefined && now().getTime() < assigned.until
        ? assigned.images.get(ecuId)
        : undefined,
  };
}

/** Whether an image is the one that was assigned. `sha256` in lower-case hex. */
export function isAssigned(
  { file, ecu }: Assignment,
  image: { length: number; sha256: string; version: string },
): boolean {
  return (
    file.length === image.length &&
    file.hashes["sha256"]?.toLowerCase() === image.sha256 &&
    ecu.release_counter === knownReleaseCounter(image.version)
  );
}
