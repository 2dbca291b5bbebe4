import { describe, expect, test } from "vitest";
import { refresh } from "#protocol/uptane/refresh.ts";
import { restoreTrusted, storeTrusted, type TrustedRepository } from "#protocol/uptane/trusted.ts";
import { code, refreshed, refusal, run, trustOf, type Trace } from "./run.ts";
import { testKey } from "./test-key.ts";
import { NOW, signMetadata, testRepository, type TestRepository } from "./test-repository.ts";

const checks = { now: NOW };

describe("signatures", () => {
  test.each(["timestamp", "snapshot", "targets"] as const)("%s without any is refused", (role) => {
    const repository = testRepository();
    repository.signers.set(role, []);
    repository.sign(role);
    expect(code(repository)).toBe("UPTANE_SIGNATURE_MISSING");
  });

  test.each(["timestamp", "snapshot", "targets"] as const)(
    "%s with two classical ones in place of a classical and a post-quantum one is refused",
    (role) => {
      const repository = testRepository();
      const [classical] = repository.signers.get(role) ?? [];
      const second = testKey("ed25519");
      repository.root.keys[second.id] = second.record;
      repository.root.roles[role].keyids.push(second.id);
      repository.signers.set(role, classical ? [classical, second] : []);
      repository.sign("root", role);
      expect(code(repository)).toBe("UPTANE_SIGNATURE_MISSING");
    },
  );

  test("below the threshold are refused", () => {
    const repository = testRepository();
    const more = [testKey("ecdsa-sha2-nistp256"), testKey("ml-dsa-44/1")];
    for (const { id, record } of more) repository.root.keys[id] = record;
    repository.root.roles.targets.threshold = 2;
    repository.root.roles.targets.keyids.push(...more.map(({ id }) => id));
    repository.sign("root");
    expect(code(repository)).toBe("UPTANE_UNDER_SIGNED");
    repository.signers.get("targets")?.push(...more);
    repository.sign("targets");
    expect(code(repository)).toBe("accepted");
  });

  test("of one key under two ids count once", () => {
    const repository = testRepository();
    const own = repository.signers.get("targets") ?? [];
    const twins = own.map((key) => ({ ...key, id: `twin-of-${key.id}` }));
    for (const { id, record } of twins) repository.root.keys[id] = record;
    repository.root.roles.targets.keyids.push(...twins.map(({ id }) => id));
    repository.signers.set("targets", [...own, ...twins]);
    repository.sign("root", "targets");
    expect(code(repository)).toBe("accepted");
    repository.root.roles.targets.threshold = 2;
    repository.sign("root");
    expect(code(repository)).toBe("UPTANE_UNDER_SIGNED");
  });

  test("under one key id twice are refused, even if they were enough", () => {
    const repository = testRepository();
    const own = repository.signers.get("snapshot") ?? [];
    repository.signers.set("snapshot", [...own, ...own]);
    repository.sign("snapshot");
    expect(code(repository)).toBe("UPTANE_SIGNATURE_DUPLICATE");
  });

  test("under the key id of another role's key count for nothing", () => {
    const repository = testRepository();
    repository.signers.set("targets", repository.signers.get("snapshot") ?? []);
    repository.sign("targets");
    expect(code(repository)).toBe("UPTANE_SIGNATURE_MISSING");
  });

  test("under a wrong key id are invalid", () => {
    const repository = testRepository();
    const ids = repository.root.roles.targets.keyids;
    const strangers = [testKey("ecdsa-sha2-nistp256"), testKey("ml-dsa-65/1")];
    repository.signers.set(
      "targets",
      strangers.map((key, index) => ({ ...key, id: ids[index] ?? "" })),
    );
    repository.sign("targets");
    expect(code(repository)).toBe("UPTANE_SIGNATURE_INVALID");
  });

  test("too many or broken ones do no harm beside enough good ones", () => {
    const repository = testRepository();
    const broken = ["", "not hex", "00"].map((sig, index) => {
      const key = testKey("ed25519");
      repository.root.keys[key.id] = key.record;
      if (index > 0) repository.root.roles.timestamp.keyids.push(key.id);
      return { ...key, sign: () => sig };
    });
    const own = repository.signers.get("timestamp") ?? [];
    repository.signers.set("timestamp", [...broken, ...own]);
    repository.sign("root", "timestamp");
    expect(code(repository)).toBe("accepted");
  });

  test("cover every member, known or not", () => {
    const repository = testRepository();
    repository.targets["unknown"] = { deep: ["ü", 1, null] };
    repository.sign("targets");
    expect(code(repository)).toBe("accepted");
    const file = repository.files.get("1.targets.json")?.toString() ?? "";
    repository.files.set("1.targets.json", Buffer.from(file.replace("ü", "ä")));
    expect(code(repository)).toBe("UPTANE_SIGNATURE_INVALID");
  });
});

describe("roots", () => {
  test("one that is skipped is refused", () => {
    const repository = testRepository();
    repository.root.version = 3;
    repository.files.set(
      "2.root.json",
      signMetadata(repository.root, repository.signers.get("root") ?? []),
    );
    expect(code(repository)).toBe("UPTANE_ROOT_SKIPPED");
  });

  test.each([1, 2])("version %s in the place of the third is a rollback", (version) => {
    const repository = testRepository();
    repository.publish("root");
    const trusted = refreshed(repository);
    const old = repository.files.get(`${version}.root.json`) ?? Buffer.alloc(0);
    repository.files.set("3.root.json", old);
    expect(code(repository, trusted)).toBe("UPTANE_ROOT_ROLLBACK");
  });

  test("one that only its own keys have signed is refused", () => {
    const repository = testRepository();
    const trusted = refreshed(repository);
    const forged = testRepository();
    forged.publish("root");
    expect(code(forged, trusted)).toBe("UPTANE_ROOT_NOT_CROSS_SIGNED");
  });

  test("one that only the keys before it have signed is refused", () => {
    const repository = testRepository();
    const before = repository.signers.get("root") ?? [];
    repository.rotate("root");
    repository.files.set("2.root.json", signMetadata(repository.root, before));
    expect(code(repository)).toBe("UPTANE_SIGNATURE_MISSING");
  });

  test("one whose classical key alone has signed for the keys before is refused", () => {
    const repository = testRepository();
    const [classical] = repository.signers.get("root") ?? [];
    const added = repository.rotate("root");
    const signers = classical ? [classical, ...added] : added;
    repository.files.set("2.root.json", signMetadata(repository.root, signers));
    expect(code(repository)).toBe("UPTANE_ROOT_NOT_CROSS_SIGNED");
  });

  test.each(["timestamp", "snapshot", "targets"] as const)(
    "what a revoked key of %s signs is refused by that name",
    (role) => {
      const repository = testRepository();
      const revoked = repository.signers.get(role) ?? [];
      const trusted = refreshed(repository);
      repository.rotate(role);
      repository.signers.set(role, revoked);
      repository.publishAll();
      expect(code(repository, trusted)).toBe("UPTANE_KEY_REVOKED");
      const stored = restoreTrusted(storeTrusted(refreshedRoot(repository, trusted)), {});
      expect(code(repository, stored)).toBe("UPTANE_KEY_REVOKED");
    },
  );

  test("targets that are trusted and whose key was revoked are fetched and refused", () => {
    const repository = testRepository();
    const trusted = refreshed(repository);
    repository.rotate("targets");
    repository.publish("timestamp");
    expect(code(repository, trusted)).toBe("UPTANE_KEY_REVOKED");
  });

  test("the first one must be signed by its own keys", () => {
    const repository = testRepository();
    const { root, files } = repository;
    files.set("1.root.json", signMetadata(root, repository.signers.get("targets") ?? []));
    expect(refusal(() => trustOf(repository))).toBe("UPTANE_SIGNATURE_MISSING");
  });
});

/** What is persisted when only the root gets through. */
function refreshedRoot(repository: TestRepository, trusted: TrustedRepository): TrustedRepository {
  const trace: Trace = { asked: [], persisted: undefined };
  refusal(() => run(refresh(trusted, checks), repository, trace));
  return trace.persisted ?? trusted;
}
