import { randomBytes } from "node:crypto";
import { generateKeys, HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { keySigner } from "#crypto/signing-keys.ts";
import { buildTargets, describeFile } from "#protocol/uptane/build.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";

/**
 * Issues director targets for one vehicle of four ECUs after the other, in a process of its own, for
 * as many milliseconds as the argument says. Prints how many a second, and their bytes.
 */
const AT_ONCE = 8;
const WARM_UP_MS = 1000;
const VERSION = "1.2.3";
const signers = HYBRID_ALGORITHMS.map((algorithm) =>
  keySigner(algorithm, generateKeys(algorithm).privateKey),
);
const expires = new Date(Date.now() + 86_400_000);
const image = describeFile(randomBytes(64));
let issued = 0;
let bytes = 0;

await issueUntil(performance.now() + WARM_UP_MS);
issued = 0;
const began = performance.now();
const end = began + Number(process.argv[2]);
await Promise.all(Array.from({ length: AT_ONCE }, () => issueUntil(end)));
const rate = issued / ((performance.now() - began) / 1000);
process.stdout.write(`${JSON.stringify({ rate, bytes })}\n`);

async function issueUntil(time: number): Promise<void> {
  while (performance.now() < time) {
    const targets = Object.fromEntries([1, 2, 3, 4].map(assignment));
    const custom = { vin: "BENCH-VEHICLE-001", nonce: "0".repeat(32) };
    const built = buildTargets({ version: issued + 1, expires }, { targets, custom });
    bytes = (await signMetadata(built, signers)).length;
    issued++;
  }
}

function assignment(ecu: number) {
  const type = `bench-${ecu}`;
  const custom = {
    ecu_id: `ECU_00${ecu}`,
    hardware_id: hardwareId(type, "HW-1.0"),
    release_counter: releaseCounter(VERSION),
    zone_id: "ZG-FRONT",
    install_order: 0,
    package: {
      id: `pkg-${"0".repeat(32)}`,
      sha256: image.hashes.sha256,
      length: 1_000_000,
      path: `zones/ZG-FRONT/ECU_00${ecu}-${VERSION}.bin.zst`,
      encoding: "zstd",
    },
  };
  return [`${type}/${VERSION}.bin`, { ...image, custom }] as const;
}
