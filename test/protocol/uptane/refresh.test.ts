import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { KeyFamily } from "#protocol/uptane/scheme.ts";
import { MAX_METADATA_BYTES } from "#protocol/uptane/metadata.ts";
import { refresh } from "#protocol/uptane/refresh.ts";
import { restoreTrusted, storeTrusted } from "#protocol/uptane/trusted.ts";
import { verifyNoble } from "#protocol/uptane/verify-noble.ts";
import { answering, code, refreshed, refusal, run, trustOf, type Trace } from "./run.ts";
import { SCHEMES, testKey, type SchemeName } from "./test-key.ts";
import { NOW, testRepository } from "./test-repository.ts";

const checks = { now: NOW };
const any: readonly KeyFamily[] = [];

describe("a repository", () => {
  test("is read in the order of the workflow, each file once", () => {
    const repository = testRepository({ withHashes: true });
    const trace: Trace = { asked: [], persisted: undefined };
    const trusted = run(refresh(trustOf(repository), checks), repository, trace);
    const files = ["2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"];
    expect(trace.asked).toEqual(files);
    expect(trace.persisted).toBe(trusted);
    const again: Trace = { asked: [], persisted: undefined };
    expect(run(refresh(trusted, checks), repository, again)).toBe(trusted);
    expect(again).toEqual({ asked: ["2.root.json", "timestamp.json"], persisted: undefined });
  });

  test("without consistent snapshots has one file of each", () => {
    const repository = testRepository({ consistent: false });
    expect(refreshed(repository).targets?.signed.version).toBe(1);
    expect([...repository.files.keys()]).toContain("snapshot.json");
  });

  test("is followed through new versions and new keys of every role", () => {
    const repository = testRepository({ withHashes: true });
    let trusted = refreshed(repository);
    for (const role of ["targets", "snapshot", "timestamp", "root"] as const) {
      repository.rotate(role);
      repository.publishAll();
      trusted = refreshed(repository, trusted);
    }
    expect(trusted.root.signed.version).toBe(5);
    expect(trusted.targets?.signed.version).toBe(5);
  });

  test("survives a restart of the client, which remembers what may not be rolled back", () => {
    const repository = testRepository();
    repository.publishAll();
    const stored = JSON.stringify(storeTrusted(refreshed(repository)));
    const trusted = restoreTrusted(JSON.parse(stored), {});
    expect(storeTrusted(trusted)).toEqual(JSON.parse(stored));
    repository.timestamp.version = 1;
    repository.sign("timestamp");
    expect(code(repository, trusted)).toBe("UPTANE_TIMESTAMP_ROLLBACK");
  });

  test("goes on where an earlier refresh was cut", () => {
    const repository = testRepository();
    const snapshot = repository.files.get("1.snapshot.json") ?? Buffer.alloc(0);
    repository.files.delete("1.snapshot.json");
    const trace: Trace = { asked: [], persisted: undefined };
    const cut = () => run(refresh(trustOf(repository), checks), repository, trace);
    expect(refusal(cut)).toBe("UPTANE_METADATA_MISSING");
    expect(trace.persisted?.timestamp?.signed.version).toBe(1);
    repository.files.set("1.snapshot.json", snapshot);
    expect(refreshed(repository, trace.persisted).targets?.signed.version).toBe(1);
  });

  test("is verified by either implementation", () => {
    const repository = testRepository();
    const noble = { now: NOW, verify: verifyNoble };
    const trusted = run(refresh(trustOf(repository, noble), noble), repository);
    expect(trusted.targets?.signed.version).toBe(1);
  });

  test.each(Object.keys(SCHEMES) as SchemeName[])("may be signed by %s alone, if asked", (name) => {
    const repository = testRepository({ schemes: [name] });
    const classical = { now: NOW, families: any };
    const trusted = run(refresh(trustOf(repository, classical), classical), repository);
    expect(trusted.targets?.signed.version).toBe(1);
    expect(refusal(() => trustOf(repository))).toBe("UPTANE_SIGNATURE_MISSING");
  });

  test("may be hybrid in some roles and not in others", () => {
    const repository = testRepository();
    const online: SchemeName[] = ["ecdsa-sha2-nistp256"];
    const [key] = online.map(testKey);
    if (key === undefined) throw new Error("no key");
    repository.root.keys[key.id] = key.record;
    repository.root.roles.timestamp.keyids = [key.id];
    repository.signers.set("timestamp", [key]);
    repository.sign("root", "timestamp");
    const both: readonly KeyFamily[] = ["classical", "post-quantum"];
    const families = { root: both, targets: both, snapshot: both, timestamp: any };
    const mixed = { now: NOW, families };
    expect(run(refresh(trustOf(repository), mixed), repository).targets).toBeDefined();
    expect(code(repository)).toBe("UPTANE_SIGNATURE_MISSING");
    const strict = { ...mixed, families: { ...families, snapshot: any, timestamp: both } };
    expect(refusal(() => run(refresh(trustOf(repository), strict), repository))).toBe(
      "UPTANE_SIGNATURE_MISSING",
    );
  });
});

describe("time and versions", () => {
  test.each(["root", "timestamp", "snapshot", "targets"] as const)("%s expires", (role) => {
    const repository = testRepository();
    repository[role].expires = "2026-11-20T12:00:00Z";
    repository.sign(role);
    expect(code(repository)).toBe("UPTANE_EXPIRED");
    repository[role].expires = "2026-11-20T12:00:01Z";
    repository.sign(role);
    expect(code(repository)).toBe("accepted");
  });

  test.each(["timestamp", "snapshot", "targets"] as const)(
    "%s that is trusted expires too: nothing newer is a freeze",
    (role) => {
      const repository = testRepository();
      repository[role].expires = "2026-11-21T12:00:00Z";
      repository.sign(role);
      const trusted = refreshed(repository);
      const later = { now: new Date("2026-11-22T12:00:00Z") };
      expect(refusal(() => run(refresh(trusted, later), repository))).toBe("UPTANE_EXPIRED");
    },
  );

  test("an expired root between two good ones is passed", () => {
    const repository = testRepository();
    const { expires } = repository.root;
    repository.root.expires = "2020-01-01T00:00:00Z";
    repository.publish("root");
    expect(code(repository)).toBe("UPTANE_EXPIRED");
    repository.root.expires = expires;
    repository.publish("root");
    expect(code(repository)).toBe("accepted");
  });

  test("a timestamp of an older version is a rollback, one of the same is left alone", () => {
    const repository = testRepository();
    repository.publishAll();
    const trusted = refreshed(repository);
    repository.timestamp["other"] = 1;
    repository.sign("timestamp");
    expect(refreshed(repository, trusted)).toBe(trusted);
    repository.timestamp.version = 1;
    repository.sign("timestamp");
    expect(code(repository, trusted)).toBe("UPTANE_TIMESTAMP_ROLLBACK");
  });

  test("an older snapshot in a newer timestamp is a rollback, and the timestamp is not kept", () => {
    const repository = testRepository();
    repository.publishAll();
    const trusted = refreshed(repository);
    repository.timestamp.meta["snapshot.json"] = { version: 1 };
    repository.publish("timestamp");
    const trace: Trace = { asked: [], persisted: undefined };
    const call = () => run(refresh(trusted, checks), repository, trace);
    expect(refusal(call)).toBe("UPTANE_SNAPSHOT_ROLLBACK");
    expect(trace.persisted).toBeUndefined();
  });

  test("an older snapshot is a rollback for a client that has lost its timestamp", () => {
    const repository = testRepository();
    const files = new Map(repository.files);
    repository.publish("snapshot");
    repository.timestamp.meta["snapshot.json"] = { version: 2 };
    repository.publish("timestamp");
    const trusted = { ...refreshed(repository), timestamp: undefined };
    for (const [name, bytes] of files) repository.files.set(name, bytes);
    expect(code(repository, trusted)).toBe("UPTANE_SNAPSHOT_ROLLBACK");
  });

  test("older targets in a newer snapshot are a rollback", () => {
    const repository = testRepository();
    repository.publishAll();
    const trusted = refreshed(repository);
    repository.targets.version = 0;
    repository.publishAll();
    expect(code(repository, trusted)).toBe("UPTANE_TARGETS_ROLLBACK");
  });

  test("targets that a newer snapshot no longer lists are withheld", () => {
    const repository = testRepository();
    repository.delegate("targets", "supplier");
    repository.publishAll();
    const trusted = refreshed(repository);
    repository.delegated.delete("supplier");
    delete repository.snapshot.meta["supplier.json"];
    repository.publishAll();
    expect(code(repository, trusted)).toBe("UPTANE_TARGETS_UNLISTED");
  });

  test("new keys of snapshot or timestamp let versions start anew, other keys don't", () => {
    for (const role of ["timestamp", "snapshot", "targets"] as const) {
      const repository = testRepository();
      repository.timestamp.version = 1000;
      repository.snapshot.version = 1000;
      repository.publishAll();
      const trusted = refreshed(repository);
      repository.rotate(role);
      repository.timestamp.version = 1;
      repository.snapshot.version = 1;
      repository.publishAll();
      const expected = role === "targets" ? "UPTANE_TIMESTAMP_ROLLBACK" : "accepted";
      expect(code(repository, trusted)).toBe(expected);
    }
  });
});

describe("files that don't belong together", () => {
  test.each([false, true])("a snapshot of another time, hashes listed: %s", (withHashes) => {
    const repository = testRepository({ withHashes });
    const old = repository.files.get("1.snapshot.json") ?? Buffer.alloc(0);
    repository.publishAll();
    repository.files.set("2.snapshot.json", old);
    expect(code(repository)).toBe("UPTANE_SNAPSHOT_MISMATCH");
  });

  test.each([false, true])("targets of another time, hashes listed: %s", (withHashes) => {
    const repository = testRepository({ withHashes });
    const old = repository.files.get("1.targets.json") ?? Buffer.alloc(0);
    repository.publishAll();
    repository.files.set("2.targets.json", old);
    expect(code(repository)).toBe("UPTANE_TARGETS_MISMATCH");
  });

  test.each(["snapshot", "targets"] as const)(
    "%s that is signed again with other content, under the version that is listed",
    (role) => {
      const repository = testRepository({ withHashes: true });
      repository[role]["other"] = true;
      repository.sign(role);
      expect(code(repository)).toBe(`UPTANE_${role.toUpperCase()}_MISMATCH`);
    },
  );

  test("targets at hand that are not those of the new hash are fetched again", () => {
    const repository = testRepository({ withHashes: true });
    const trusted = refreshed(repository);
    repository.targets["other"] = true;
    repository.targets.version = 0;
    repository.publishAll();
    const { targets } = refreshed(repository, trusted);
    expect(targets?.bytes).toEqual(repository.files.get("1.targets.json"));
    expect(targets?.bytes).not.toEqual(trusted.targets?.bytes);
  });

  test.each(["length", "hashes"])(
    "targets at hand are held against the new %s alone, too",
    (by) => {
      const repository = testRepository();
      const trusted = refreshed(repository);
      repository.targets["other"] = "x".repeat(100);
      repository.sign("targets");
      const file = repository.files.get("1.targets.json") ?? Buffer.alloc(0);
      const sha256 = createHash("sha256").update(file).digest("hex");
      const listed = by === "length" ? { length: file.length } : { hashes: { sha256 } };
      repository.snapshot.meta["targets.json"] = { version: 1, ...listed };
      repository.publish("snapshot");
      repository.timestamp.meta["snapshot.json"] = { version: repository.snapshot.version };
      repository.publish("timestamp");
      expect(refreshed(repository, trusted).targets?.bytes).toEqual(file);
    },
  );

  test.each(["sha256", "sha512"])("a file of which %s alone is another", (name) => {
    const repository = testRepository({ withHashes: true });
    const { hashes } = repository.timestamp.meta["snapshot.json"] ?? {};
    if (hashes?.[name] === undefined) throw new Error(`no ${name} is listed`);
    hashes[name] = "0".repeat(hashes[name].length);
    repository.sign("timestamp");
    expect(code(repository)).toBe("UPTANE_SNAPSHOT_MISMATCH");
  });

  test("hashes that nobody can check are no proof", () => {
    const repository = testRepository();
    repository.timestamp.meta["snapshot.json"] = { version: 1, hashes: { md5: "00" } };
    repository.sign("timestamp");
    expect(code(repository)).toBe("UPTANE_SNAPSHOT_MISMATCH");
  });

  test("a file in the place of another", () => {
    const repository = testRepository();
    const snapshot = repository.files.get("1.snapshot.json") ?? Buffer.alloc(0);
    repository.files.set("timestamp.json", snapshot);
    expect(code(repository)).toBe("UPTANE_METADATA_TYPE");
  });

  test.each(["timestamp.json", "1.snapshot.json", "1.targets.json"])("%s is missing", (file) => {
    const repository = testRepository();
    repository.files.delete(file);
    expect(code(repository)).toBe("UPTANE_METADATA_MISSING");
  });
});

describe("endless data", () => {
  test("each request says where to stop: at the listed length, or at the role's limit", () => {
    const limits = (withHashes: boolean) => {
      const repository = testRepository({ withHashes });
      const asked: [string, number][] = [];
      answering(refresh(trustOf(repository), checks), (step) => {
        if (step.kind !== "fetch") return undefined;
        asked.push([step.file, step.maxBytes]);
        return repository.files.get(step.file);
      });
      return { asked: Object.fromEntries(asked), files: repository.files };
    };
    expect(limits(false).asked).toEqual({
      "2.root.json": MAX_METADATA_BYTES.root,
      "timestamp.json": MAX_METADATA_BYTES.timestamp,
      "1.snapshot.json": MAX_METADATA_BYTES.snapshot,
      "1.targets.json": MAX_METADATA_BYTES.targets,
    });
    const { asked, files } = limits(true);
    expect(asked["1.snapshot.json"]).toBe(files.get("1.snapshot.json")?.length);
    expect(asked["1.targets.json"]).toBe(files.get("1.targets.json")?.length);
  });

  test("a listed length beyond the role's limit does not raise it", () => {
    const repository = testRepository();
    repository.timestamp.meta["snapshot.json"] = { version: 1, length: 1e12 };
    repository.sign("timestamp");
    let maxBytes = 0;
    const look = () =>
      answering(refresh(trustOf(repository), checks), (step) => {
        if (step.kind !== "fetch") return undefined;
        if (step.role === "snapshot") maxBytes = step.maxBytes;
        return repository.files.get(step.file);
      });
    expect(refusal(look)).toBe("UPTANE_SNAPSHOT_MISMATCH");
    expect(maxBytes).toBe(MAX_METADATA_BYTES.snapshot);
  });

  test("metadata beyond its limit is not read", () => {
    const repository = testRepository();
    const file = repository.files.get("timestamp.json") ?? Buffer.alloc(0);
    const padding = Buffer.alloc(MAX_METADATA_BYTES.timestamp + 1 - file.length, " ");
    repository.files.set("timestamp.json", Buffer.concat([file, padding]));
    expect(code(repository)).toBe("UPTANE_METADATA_TOO_LARGE");
    repository.files.set("timestamp.json", Buffer.concat([file, padding.subarray(1)]));
    expect(code(repository)).toBe("accepted");
  });

  test("roots without end stop at the number that was set", () => {
    const repository = testRepository();
    for (let i = 0; i < 4; i++) repository.publish("root");
    const few = { now: NOW, maxRootRotations: 3 };
    expect(run(refresh(trustOf(repository), few), repository).root.signed.version).toBe(4);
  });
});

describe("a stored state", () => {
  test.each([null, {}, { root: 1 }, { root: "", targets: 1 }])("%j is refused", (stored) => {
    expect(refusal(() => restoreTrusted(stored, {}))).toBe("UPTANE_STATE_MALFORMED");
  });

  test("is verified: an altered root is refused, an altered file is fetched again", () => {
    const repository = testRepository();
    const stored = storeTrusted(refreshed(repository));
    const altered = (text = "") => text.replace('"version": 1', '"version": 9');
    const root = { ...stored, root: altered(stored.root) };
    expect(refusal(() => restoreTrusted(root, {}))).toBe("UPTANE_SIGNATURE_INVALID");
    const files = { ...stored, timestamp: altered(stored.timestamp), snapshot: "{" };
    const trusted = restoreTrusted(files, {});
    expect(trusted).toMatchObject({ timestamp: undefined, snapshot: undefined });
    expect(trusted.targets).toBeDefined();
    expect(code(repository, trusted)).toBe("accepted");
  });

  test.each(["timestamp", "snapshot", "targets"] as const)("leaves out an altered %s", (role) => {
    const stored = storeTrusted(refreshed(testRepository()));
    const altered = stored[role]?.replace('"version": 1', '"version": 9') ?? "";
    expect(restoreTrusted({ ...stored, [role]: altered }, {})[role]).toBeUndefined();
    expect(restoreTrusted(stored, {})[role]).toBeDefined();
  });
});
