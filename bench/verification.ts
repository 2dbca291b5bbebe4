import { generateKeys } from "#crypto/key-algorithm.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import type { VehicleEcu } from "#protocol/uptane/assignment.ts";
import {
  buildRoot,
  buildSnapshot,
  buildTargets,
  buildTimestamp,
  describeFile,
} from "#protocol/uptane/build.ts";
import { decodeEcuBundle, encodeEcuBundle } from "#protocol/uptane/ecu-bundle.ts";
import { verifyFully } from "#protocol/uptane/full-verification.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { keyRecord } from "#protocol/uptane/key.ts";
import type { TargetFile } from "#protocol/uptane/metadata.ts";
import { verifyPartially } from "#protocol/uptane/partial-verification.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import { runWorkflow } from "#protocol/uptane/run-workflow.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import { trustRoot } from "#protocol/uptane/trusted.ts";
import { newVehicleState } from "#protocol/uptane/vehicle-state.ts";
import { verifyNoble } from "#protocol/uptane/verify-noble.ts";
import type { BenchContext, Figure, Row } from "./figure.ts";
import { alternate, sampleOf } from "./sample.ts";

const VIN = "BENCH-VEHICLE-001";
const NONCE = "0".repeat(32);
const VERSION = "1.2.3";
const ECUS = 4;
const TIMES = 50;

/** Milliseconds of verifying an update of four ECUs, by the VMG and by each of its ECUs. */
export async function measureVerification({ quick, say }: BenchContext): Promise<Figure> {
  const { director, image, ecus } = await repositories();
  const roots = { director: fileOf(director, "1.root.json"), image: fileOf(image, "1.root.json") };
  const state = newVehicleState(roots, {});
  const vehicle = { vin: VIN, nonce: NONCE, expectsUpdate: true, ecus };
  let fetched = 0;
  const fully = () =>
    runWorkflow(verifyFully(state, vehicle, { now: new Date() }), (step) => {
      if (step.kind !== "fetch") return Promise.resolve(undefined);
      const file = (step.repository === "director" ? director : image).get(step.file);
      fetched += file?.length ?? 0;
      return Promise.resolve(file);
    });
  await fully();
  const bytes = fetched;

  const targets = fileOf(director, "1.targets.json");
  const bundle = encodeEcuBundle({ roots: [], targets });
  const noble = { verify: verifyNoble };
  const known = { director: trustRoot(roots.director, noble), releaseCounters: new Map() };
  const partially = () => {
    const checks = { ...noble, now: new Date(), vin: VIN };
    return Promise.resolve(
      verifyPartially(known, decodeEcuBundle(bundle), ecus.slice(0, 1), checks),
    );
  };

  const runs = await alternate(quick ? 2 : 7, {
    vmg: () => millisecondsOf(fully),
    ecu: () => millisecondsOf(partially),
  });
  say(`  ${ECUS} ECUs; VMG: ${bytes} bytes, ECU: ${bundle.length} bytes`);
  return {
    title: "Verifying an update in the vehicle",
    notes: [
      `Metadata that assign an image to each of ${ECUS} ECUs, every role signed by ECDSA P-256 and ML-DSA-65, at hand in memory. Full verification checks both repositories (12 signatures) with OpenSSL, from the state of a new vehicle; partial verification the director's targets (2 signatures) in JavaScript alone, from the binary bundle that an ECU is given.`,
    ],
    rows: [
      stated("full verification by the VMG", "ms", runs.vmg),
      stated("partial verification by an ECU", "ms", runs.ecu),
      stated("metadata for the VMG", "bytes", [bytes]),
      stated("metadata for an ECU", "bytes", [bundle.length]),
    ],
  };
}

function stated(what: string, unit: string, runs: readonly number[]): Row {
  return { what, unit, ours: sampleOf(runs) };
}

async function millisecondsOf(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  for (let i = 0; i < TIMES; i++) await work();
  return (performance.now() - began) / TIMES;
}

type Files = Map<string, Buffer>;

function fileOf(files: Files, name: string): Buffer {
  const file = files.get(name);
  if (file === undefined) throw new Error(`no ${name}`);
  return file;
}

async function repositories(): Promise<{ director: Files; image: Files; ecus: VehicleEcu[] }> {
  const assigned: Record<string, TargetFile> = {};
  const released: Record<string, TargetFile> = {};
  const release_counter = releaseCounter(VERSION);
  const ecus = Array.from({ length: ECUS }, (_, index) => {
    const type = `bench-${index}`;
    const ecuId = `ECU_00${index}`;
    const hardware = hardwareId(type, "HW-1.0");
    const path = `${type}/${VERSION}.bin`;
    const file = describeFile(Buffer.from(path));
    const { length } = file;
    const inPackage = {
      id: `pkg-${"0".repeat(32)}`,
      sha256: file.hashes.sha256,
      length,
      path: `zones/ZG-FRONT/${ecuId}-${VERSION}.bin.zst`,
      encoding: "zstd",
    };
    const custom = { ecu_id: ecuId, hardware_id: hardware, release_counter, package: inPackage };
    assigned[path] = { ...file, custom };
    const traits = { ecu_type: type, hardware_ids: [hardware], version: VERSION, release_counter };
    released[path] = { ...file, custom: traits };
    return { ecuId, hardwareId: hardware };
  });
  const director = await repository(assigned, { vin: VIN, nonce: NONCE });
  return { director, image: await repository(released), ecus };
}

/** A repository's files, each role with a hybrid pair of keys of its own. */
async function repository(
  targets: Record<string, TargetFile>,
  custom?: Record<string, unknown>,
): Promise<Files> {
  const issue = { version: 1, expires: new Date(Date.now() + 86_400_000) };
  const pair = () => [signer("ecdsa-p256"), signer("ml-dsa-65")];
  const signers = { root: pair(), timestamp: pair(), snapshot: pair(), targets: pair() };
  const keys = (role: keyof typeof signers) => ({
    keys: signers[role].map(({ publicKey }) => keyRecord(publicKey)),
  });
  const root = buildRoot(issue, {
    root: keys("root"),
    timestamp: keys("timestamp"),
    snapshot: keys("snapshot"),
    targets: keys("targets"),
  });
  const content = { targets, ...(custom && { custom }) };
  const targetsFile = await signMetadata(buildTargets(issue, content), signers.targets);
  const listed = { targets: { version: 1, bytes: targetsFile } };
  const snapshot = await signMetadata(buildSnapshot(issue, listed), signers.snapshot);
  const timestamp = buildTimestamp(issue, { version: 1, bytes: snapshot });
  return new Map([
    ["1.root.json", await signMetadata(root, signers.root)],
    ["timestamp.json", await signMetadata(timestamp, signers.timestamp)],
    ["1.snapshot.json", snapshot],
    ["1.targets.json", targetsFile],
  ]);
}

function signer(algorithm: "ecdsa-p256" | "ml-dsa-65"): Signer {
  return keySigner(algorithm, generateKeys(algorithm).privateKey);
}
