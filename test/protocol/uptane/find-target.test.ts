import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { findTarget } from "#protocol/uptane/find-target.ts";
import { matchesPattern } from "#protocol/uptane/path-pattern.ts";
import { refresh } from "#protocol/uptane/refresh.ts";
import { restoreTrusted, storeTrusted } from "#protocol/uptane/trusted.ts";
import { refusal, run, trustOf, type Trace } from "./run.ts";
import { testKey } from "./test-key.ts";
import { NOW, testRepository, type TestRepository } from "./test-repository.ts";

const checks = { now: NOW };
const CONTENT = Buffer.from("image");

const refreshed = (repository: TestRepository) =>
  run(refresh(trustOf(repository), checks), repository);

/** The roles that a search looks into, and how it ends. */
function search(repository: TestRepository, path: string, trusted = refreshed(repository)) {
  const trace: Trace = { asked: [], persisted: undefined };
  let found: string | undefined;
  const code = refusal(() => {
    found = run(findTarget(trusted, path, checks), repository, trace).role;
  });
  const visited = trace.asked.map((file) => file.replace(/^\d+\./, "").replace(/\.json$/, ""));
  return { code, found, visited };
}

interface Edge {
  from: string;
  to: string;
  terminating?: boolean;
  paths?: string[];
}

function graph(...edges: Edge[]): TestRepository {
  const repository = testRepository();
  for (const { from, to, ...rule } of edges) repository.delegate(from, to, rule);
  repository.publishAll();
  return repository;
}

describe("the search", () => {
  test.each<[string, Edge[], string[]]>([
    ["one", [{ from: "targets", to: "A" }], ["A"]],
    [
      "depth first",
      [
        { from: "targets", to: "A" },
        { from: "targets", to: "B" },
        { from: "A", to: "C" },
        { from: "A", to: "D" },
      ],
      ["A", "C", "D", "B"],
    ],
    [
      "to the end of what a terminating delegation delegates to",
      [
        { from: "targets", to: "A" },
        { from: "targets", to: "B" },
        { from: "A", to: "C", terminating: true },
        { from: "A", to: "D" },
        { from: "C", to: "E" },
      ],
      ["A", "C", "E"],
    ],
    [
      "not along paths that don't match",
      [
        { from: "targets", to: "A", paths: ["*.py"] },
        { from: "targets", to: "B" },
        { from: "A", to: "C" },
      ],
      ["B"],
    ],
    [
      "past a terminating delegation that doesn't match",
      [
        { from: "targets", to: "A", paths: ["*.py"], terminating: true },
        { from: "targets", to: "B" },
      ],
      ["B"],
    ],
    [
      "around a circle once",
      [
        { from: "targets", to: "A" },
        { from: "A", to: "B" },
        { from: "B", to: "A" },
      ],
      ["A", "B"],
    ],
    [
      "into a role that two delegate to once",
      [
        { from: "targets", to: "A" },
        { from: "targets", to: "B" },
        { from: "A", to: "C" },
        { from: "B", to: "C" },
      ],
      ["A", "C", "B"],
    ],
  ])("goes %s", (_name, edges, visited) => {
    expect(search(graph(...edges), "missing")).toEqual({
      code: "UPTANE_TARGET_UNKNOWN",
      found: undefined,
      visited,
    });
  });

  test("takes the first role that knows the target", () => {
    const repository = testRepository();
    repository.delegate("targets", "A", { paths: ["zone/*.bin"] });
    repository.delegate("targets", "B", { paths: ["zone/*"] });
    for (const role of ["A", "B"]) repository.addTarget("zone/x.bin", CONTENT, undefined, role);
    repository.addTarget("zone/y.img", CONTENT, undefined, "A");
    repository.publishAll();
    expect(search(repository, "zone/x.bin")).toMatchObject({ found: "A", visited: ["A"] });
    // A has it, but nobody lets A speak of it.
    expect(search(repository, "zone/y.img")).toMatchObject({ code: "UPTANE_TARGET_UNKNOWN" });
    repository.addTarget("zone/x.bin", CONTENT);
    repository.publishAll();
    expect(search(repository, "zone/x.bin")).toMatchObject({ found: "targets", visited: [] });
  });

  test("asks for what it has again only when it has changed or has lost its keys", () => {
    const repository = graph({ from: "targets", to: "A" });
    repository.addTarget("x", CONTENT, undefined, "A");
    repository.publishAll();
    const first = run(findTarget(refreshed(repository), "x", checks), repository);
    const stored = restoreTrusted(storeTrusted(first.trusted), {});
    expect(search(repository, "x", stored).visited).toEqual([]);
    const [role] = repository.targets.delegations?.roles ?? [];
    if (role) role.keyids = [testKey("ed25519").id];
    // The delegated role itself stays as it was.
    repository.publish("targets");
    repository.snapshot.meta["targets.json"] = { version: repository.targets.version };
    repository.publish("snapshot");
    repository.timestamp.meta["snapshot.json"] = { version: repository.snapshot.version };
    repository.publish("timestamp");
    const rotated = run(refresh(stored, checks), repository);
    expect(search(repository, "x", rotated)).toMatchObject({
      code: "UPTANE_SIGNATURE_MISSING",
      visited: ["A"],
    });
  });

  test("takes a newer version of a role that it has", () => {
    const repository = graph({ from: "targets", to: "A" });
    repository.addTarget("x", CONTENT, undefined, "A");
    repository.publishAll();
    const { trusted } = run(findTarget(refreshed(repository), "x", checks), repository);
    repository.addTarget("x", Buffer.from("newer image"), undefined, "A");
    repository.publishAll();
    const current = run(refresh(trusted, checks), repository);
    expect(search(repository, "x", current).visited).toEqual(["A"]);
    const { file } = run(findTarget(current, "x", checks), repository);
    expect(file.length).toBe("newer image".length);
  });

  test("ends at a number of roles", () => {
    const edges = Array.from({ length: 33 }, (_, index) => ({
      from: index === 0 ? "targets" : `R${index}`,
      to: `R${index + 1}`,
    }));
    expect(search(graph(...edges.slice(0, 31)), "missing").code).toBe("UPTANE_TARGET_UNKNOWN");
    const { code, visited } = search(graph(...edges), "missing");
    expect(code).toBe("UPTANE_DELEGATIONS_TOO_MANY");
    expect(visited).toHaveLength(31);
  });

  test.each(["?", "#", "/up", "../up", "..", "a b", "ü", "!'()*"])(
    "asks for a role called %s under a name that means nothing else",
    (name) => {
      const repository = graph({ from: "targets", to: name });
      const { code, visited } = search(repository, "missing");
      expect(code).toBe("UPTANE_TARGET_UNKNOWN");
      expect(visited.map(decodeURIComponent)).toEqual([name]);
      expect(visited[0]).toMatch(/^[\w.%-]+$/);
    },
  );

  test("finds nothing under the names of an object's own members", () => {
    const repository = testRepository();
    for (const path of ["constructor", "__proto__", "toString"]) {
      expect(search(repository, path).code).toBe("UPTANE_TARGET_UNKNOWN");
    }
  });

  test("follows hash prefixes", () => {
    const repository = testRepository();
    const prefix = createHash("sha256").update("x").digest("hex").slice(0, 2);
    repository.delegate("targets", "A", { path_hash_prefixes: [prefix] });
    repository.addTarget("x", CONTENT, undefined, "A");
    repository.publishAll();
    expect(search(repository, "x").found).toBe("A");
    expect(search(repository, "y").visited).toEqual([]);
  });

  test("takes a hash prefix at the start of the hash alone", () => {
    const repository = testRepository();
    const inside = createHash("sha256").update("x").digest("hex").slice(2, 8);
    repository.delegate("targets", "A", { path_hash_prefixes: [inside] });
    repository.addTarget("x", CONTENT, undefined, "A");
    repository.publishAll();
    expect(search(repository, "x")).toMatchObject({ code: "UPTANE_TARGET_UNKNOWN", visited: [] });
  });
});

describe("a delegated role is refused", () => {
  const prepared = (withHashes = true) => {
    const repository = testRepository({ withHashes });
    repository.delegate("targets", "A");
    repository.addTarget("x", CONTENT, undefined, "A");
    repository.publishAll();
    return repository;
  };
  const delegation = (repository: TestRepository) => {
    const [role] = repository.targets.delegations?.roles ?? [];
    if (role === undefined) throw new Error("no delegation");
    return role;
  };

  test("without its signatures, or with the delegator's", () => {
    const repository = prepared();
    for (const signers of [[], repository.signers.get("targets") ?? []]) {
      repository.signers.set("A", signers);
      repository.publishAll();
      expect(search(repository, "x").code).toBe("UPTANE_SIGNATURE_MISSING");
    }
  });

  test("below its threshold", () => {
    const repository = prepared();
    delegation(repository).threshold = 2;
    repository.publishAll();
    expect(search(repository, "x").code).toBe("UPTANE_UNDER_SIGNED");
  });

  test("when it has expired", () => {
    const repository = prepared();
    const role = repository.delegated.get("A");
    if (role) role.expires = "2026-11-20T11:59:59Z";
    repository.publishAll();
    expect(search(repository, "x").code).toBe("UPTANE_EXPIRED");
  });

  test("when it has expired since it was trusted", () => {
    const repository = prepared();
    const { trusted } = run(findTarget(refreshed(repository), "x", checks), repository);
    const later = { now: new Date("2027-11-20T12:00:00Z") };
    expect(refusal(() => run(findTarget(trusted, "x", later), repository))).toBe("UPTANE_EXPIRED");
  });

  test.each([false, true])("when it is of another time, hashes listed: %s", (withHashes) => {
    const repository = prepared(withHashes);
    const old = repository.files.get("1.A.json") ?? Buffer.alloc(0);
    repository.publishAll();
    repository.files.set("2.A.json", old);
    expect(search(repository, "x").code).toBe("UPTANE_TARGETS_MISMATCH");
  });

  test("when it is signed again with other content under the version that is listed", () => {
    const repository = prepared();
    repository.addTarget("y", CONTENT, undefined, "A");
    repository.sign("A");
    expect(search(repository, "y").code).toBe("UPTANE_TARGETS_MISMATCH");
  });

  test("when the snapshot does not list it", () => {
    const repository = testRepository();
    repository.delegate("targets", "A");
    repository.publish("A", "targets");
    repository.snapshot.meta["targets.json"] = { version: 2 };
    repository.publish("snapshot");
    repository.timestamp.meta["snapshot.json"] = { version: 2 };
    repository.publish("timestamp");
    expect(search(repository, "x").code).toBe("UPTANE_TARGETS_UNLISTED");
  });

  test("when it can't be had, although a later role has the target", () => {
    const repository = prepared();
    repository.delegate("targets", "B");
    repository.addTarget("y", CONTENT, undefined, "B");
    repository.publishAll();
    repository.files.delete("2.A.json");
    expect(search(repository, "y").code).toBe("UPTANE_METADATA_MISSING");
  });
});

describe("a path pattern", () => {
  test.each<[string, string, boolean]>([
    ["*", "a", true],
    ["*", "", true],
    ["*", "a/b", false],
    ["*/*", "a/b", true],
    ["a/*", "a/b/c", false],
    ["*.bin", "x.bin", true],
    ["*.bin", "x.bin.old", false],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "a-b-b", false],
    ["a?c", "abc", true],
    ["a?c", "ac", false],
    ["?", "😀", true],
    ["?", "/", false],
    ["[abc]x", "bx", true],
    ["[a-c]x", "dx", false],
    ["[!a-c]x", "dx", true],
    ["[!a-c]x", "ax", false],
    ["[]", "[]", true],
    ["[a", "[a", true],
    ["[]a]", "]", true],
    ["a.b", "axb", false],
    ["(a|b)+", "(a|b)+", true],
    ["^a$", "a", false],
    ["", "", true],
    ["", "a", false],
  ])("%j on %j is %s", (pattern, path, expected) => {
    expect(matchesPattern(pattern, path)).toBe(expected);
  });

  test("of many stars is decided in few steps", () => {
    expect(matchesPattern(`${"*a".repeat(500)}b`, "a".repeat(1000))).toBe(false);
  });
});
