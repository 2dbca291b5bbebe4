import { describe, expect, test } from "vitest";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { missingRoles, type ImageSet } from "#server/trust/image.ts";
import { testKey } from "#test/protocol/uptane/test-key.ts";
import { NOW, testRepository, type TestRepository } from "#test/protocol/uptane/test-repository.ts";

/** A repository whose targets delegate to A, and A to B; all of it ends on 2026-12-20. */
function delegating(): TestRepository {
  const repository = testRepository();
  repository.delegate("targets", "A");
  repository.delegate("A", "B");
  repository.publishAll();
  return repository;
}

/** What a gateway would hold of it. */
function setOf({ root, targets, delegated, files }: TestRepository): ImageSet {
  const file = (name: string) => files.get(name) ?? Buffer.alloc(0);
  const roles = [...delegated].map(
    ([role, { version }]) =>
      [role, parseMetadata("targets", file(`${version}.${role}.json`), role)] as const,
  );
  return {
    root: parseMetadata("root", file(`${root.version}.root.json`)),
    targets: parseMetadata("targets", file(`${targets.version}.targets.json`)),
    delegated: new Map(roles),
  };
}

describe("a set of images is missing", () => {
  test("nothing when all that a client needs is there", () => {
    expect(missingRoles(setOf(delegating()), NOW)).toEqual([]);
  });

  test("what is not there", () => {
    const set = setOf(delegating());
    expect(missingRoles({ ...set, targets: undefined }, NOW)).toEqual(["targets"]);
    expect(missingRoles({ ...set, delegated: new Map() }, NOW)).toEqual(["A"]);
    const delegated = new Map([...set.delegated].filter(([role]) => role !== "B"));
    expect(missingRoles({ ...set, delegated }, NOW)).toEqual(["B"]);
  });

  test("what the keys of its delegator do not sign any more", () => {
    const repository = delegating();
    const signed = setOf(repository);
    const role = repository.targets.delegations?.roles[0];
    const key = testKey("ecdsa-sha2-nistp256");
    if (role) role.keyids = [key.id];
    repository.publish("targets");
    const { targets } = setOf(repository);
    expect(missingRoles({ ...signed, targets }, NOW)).toEqual(["A"]);
    const { root } = setOf(testRepository());
    expect(missingRoles({ ...signed, root }, NOW)).toEqual(["targets"]);
  });

  test("what is over", () => {
    for (const role of ["targets", "A", "B"]) {
      const repository = delegating();
      const signed = role === "targets" ? repository.targets : repository.delegated.get(role);
      if (signed) signed.expires = "2026-11-20T12:00:00Z";
      repository.publish(role);
      expect(missingRoles(setOf(repository), NOW)).toEqual([role]);
    }
  });
});
