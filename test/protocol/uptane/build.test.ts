import { describe, expect, test } from "vitest";
import { generateKeys, HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import {
  buildRoot,
  buildSnapshot,
  buildTargets,
  buildTimestamp,
  describeFile,
} from "#protocol/uptane/build.ts";
import { findTarget } from "#protocol/uptane/find-target.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { keyId, keyRecord } from "#protocol/uptane/key.ts";
import { refresh } from "#protocol/uptane/refresh.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import { trustRoot, type TrustedRepository } from "#protocol/uptane/trusted.ts";
import { answering } from "./run.ts";
import { NOW } from "./test-repository.ts";

const pair = (): Signer[] =>
  HYBRID_ALGORITHMS.map((algorithm) => keySigner(algorithm, generateKeys(algorithm).privateKey));
const signers = {
  root: pair(),
  timestamp: pair(),
  snapshot: pair(),
  targets: pair(),
  supplier: pair(),
};
const keysOf = (role: keyof typeof signers) => ({
  keys: signers[role].map(({ publicKey }) => keyRecord(publicKey)),
});
const issue = { version: 1, expires: new Date("2027-01-01T00:00:00.900Z") };
const IMAGE = { ...describeFile(Buffer.from("abc")), custom: { version: "1.0.0" } };

/** A repository of our builders alone, one image of it a supplier's; `left` is not signed by all. */
async function repository(left?: keyof typeof signers): Promise<Map<string, Buffer>> {
  const sign = (signed: object, role: keyof typeof signers) =>
    signMetadata(signed, role === left ? signers[role].slice(1) : signers[role]);
  const root = buildRoot(issue, {
    root: keysOf("root"),
    timestamp: keysOf("timestamp"),
    snapshot: keysOf("snapshot"),
    targets: keysOf("targets"),
  });
  const delegation = { name: "supplier", terminating: true, paths: ["brake/*"] };
  const content = { targets: {}, delegations: [{ ...delegation, ...keysOf("supplier") }] };
  const targets = await sign(buildTargets(issue, content), "targets");
  const own = buildTargets({ ...issue, version: 7 }, { targets: { "brake/1.0.0.bin": IMAGE } });
  const supplier = await sign(own, "supplier");
  const listed = {
    targets: { version: 1, bytes: targets },
    supplier: { version: 7, bytes: supplier },
  };
  const snapshot = await sign(buildSnapshot({ ...issue, version: 3 }, listed), "snapshot");
  const timestamp = buildTimestamp({ ...issue, version: 4 }, { version: 3, bytes: snapshot });
  return new Map([
    ["1.root.json", await sign(root, "root")],
    ["1.targets.json", targets],
    ["7.supplier.json", supplier],
    ["3.snapshot.json", snapshot],
    ["timestamp.json", await sign(timestamp, "timestamp")],
  ]);
}

function verified(files: Map<string, Buffer>) {
  const checks = { now: NOW };
  const fetch = (step: { kind: string; file?: string }) => files.get(step.file ?? "");
  const trusted: TrustedRepository = answering(
    refresh(trustRoot(files.get("1.root.json") ?? Buffer.alloc(0), {}), checks),
    fetch,
  );
  return answering(findTarget(trusted, "brake/1.0.0.bin", checks), fetch);
}

describe("metadata that we build", () => {
  test("is what a vehicle verifies in hybrid mode, a supplier's image included", async () => {
    expect(verified(await repository())).toMatchObject({ file: IMAGE, role: "supplier" });
  });

  test.each(["root", "targets", "supplier", "snapshot", "timestamp"] as const)(
    "is refused when one key of %s has not signed",
    async (role) => {
      const files = await repository(role);
      expect(() => verified(files)).toThrow(
        expect.objectContaining({ code: "UPTANE_SIGNATURE_MISSING" }) as Error,
      );
    },
  );

  test("follows our conventions", () => {
    const role = keysOf("root");
    const root = buildRoot(issue, { root: role, timestamp: role, snapshot: role, targets: role });
    const keyids = role.keys.map(keyId);
    expect(root).toEqual({
      _type: "root",
      spec_version: "1.0.31",
      version: 1,
      expires: "2027-01-01T00:00:00Z",
      consistent_snapshot: true,
      keys: Object.fromEntries(role.keys.map((key) => [keyId(key), key])),
      roles: Object.fromEntries(
        ["root", "timestamp", "snapshot", "targets"].map((name) => [
          name,
          { keyids, threshold: 1 },
        ]),
      ),
    });
    const custom = { vin: "VMG-001", nonce: "00" };
    const targets = buildTargets(issue, { targets: { a: IMAGE }, custom });
    expect(targets).toMatchObject({ _type: "targets", targets: { a: IMAGE }, custom });
    expect(targets).not.toHaveProperty("delegations");
  });

  test('describes a file by length, SHA-256 and SHA-512 (FIPS 180-4, "abc")', () => {
    expect(describeFile(Buffer.from("abc"))).toEqual({
      length: 3,
      hashes: {
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        sha512:
          "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
          "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
      },
    });
  });
});

describe("the release counter", () => {
  test.each<[string, number]>([
    ["0.0.0", 0],
    ["0.0.1", 1],
    ["1.2.3", 10_000_200_003],
    ["1.2.3-rc.1", 10_000_200_003],
    ["1.2.3+build.7", 10_000_200_003],
    ["9999.99999.99999", 99_999_999_999_999],
  ])("of %s is %d", (version, counter) => {
    expect(releaseCounter(version)).toBe(counter);
  });

  test.each(["10000.0.0", "0.100000.0", "0.0.100000", "1.2", "v1.2.3", "1.02.3", "", "1.2.3.4"])(
    'is refused for "%s"',
    (version) => {
      expect(() => releaseCounter(version)).toThrow(RangeError);
    },
  );
});

test("a hardware id names kind and hardware version", () => {
  expect(hardwareId("brake-controller", "HW-1.0")).toBe("brake-controller:HW-1.0");
});
