import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { parseMetadata, type TopLevelRole } from "#protocol/uptane/metadata.ts";
import { refusal } from "./run.ts";
import { signMetadata, testRepository, type TestRepository } from "./test-repository.ts";

const ROLES: readonly TopLevelRole[] = ["root", "timestamp", "snapshot", "targets"];
type Json = Record<string, unknown>;

let repository: TestRepository;
beforeAll(() => {
  repository = testRepository({ withHashes: true });
  repository.addTarget("a/b.bin", Buffer.from("x"), { any: ["thing"] });
  repository.delegate("targets", "supplier", { paths: ["a/*"] });
  repository.publishAll();
});

const signedOf = (role: TopLevelRole) => structuredClone(repository[role]) as unknown as Json;
const code = (role: TopLevelRole, signed: unknown) =>
  refusal(() => parseMetadata(role, signMetadata(signed, [])));

/** The signed part of a role with one value at a path replaced; undefined takes it away. */
function changed(role: TopLevelRole, path: string, value: unknown): Json {
  const signed = signedOf(role);
  const names = path.split("/");
  const last = names.pop() ?? "";
  const parent = names.reduce<Json>((json, name) => json[name] as Json, signed);
  if (value === undefined) delete parent[last];
  else parent[last] = value;
  return signed;
}

describe("metadata", () => {
  test.each(ROLES)("%s is read, with members that nobody knows", (role) => {
    expect(code(role, signedOf(role))).toBe("accepted");
    expect(code(role, { ...signedOf(role), constructor: 1, "x-other": { a: [] } })).toBe(
      "accepted",
    );
  });

  const common: [string, unknown][] = [
    ["spec_version", undefined],
    ["spec_version", "1"],
    ["spec_version", 1],
    ["version", undefined],
    ["version", 0],
    ["version", "1"],
    ["expires", undefined],
    ["expires", "2026-02-30T00:00:00Z"],
    ["expires", "2026-13-01T00:00:00Z"],
    ["expires", "2026-12-20T12:00:00.5Z"],
    ["expires", "2026-12-20T12:00:00+01:00"],
    ["expires", "20 Dec 2026"],
  ];
  const own: [TopLevelRole, string, unknown][] = [
    ["root", "keys", undefined],
    ["root", "keys", []],
    ["root", "roles/snapshot", undefined],
    ["root", "roles/root/threshold", 0],
    ["root", "roles/root/keyids", ["a", "a"]],
    ["root", "roles/root/keyids", "a"],
    ["root", "consistent_snapshot", "yes"],
    ["timestamp", "meta", {}],
    ["timestamp", "meta/snapshot.json/version", 0],
    ["timestamp", "meta/snapshot.json/length", -1],
    ["timestamp", "meta/snapshot.json/hashes", {}],
    ["timestamp", "meta/snapshot.json/hashes", { sha256: "xyz" }],
    ["snapshot", "meta/targets.json", undefined],
    ["snapshot", "meta/other.json", { version: "1" }],
    ["snapshot", "meta/line\nbreak.json", { version: "1" }],
    ["targets", "targets", undefined],
    ["targets", "targets", []],
    ["targets", "targets/a/b.bin", {}],
    ["targets", "targets/line\nbreak", {}],
    ["targets", "delegations/keys", undefined],
    ["targets", "delegations/roles", {}],
    ["targets", "delegations/roles/0/name", ""],
    ["targets", "delegations/roles/0/name", "targets"],
    ["targets", "delegations/roles/0/name", "root"],
    ["targets", "delegations/roles/0/threshold", 0],
    ["targets", "delegations/roles/0/terminating", undefined],
    ["targets", "delegations/roles/0/paths", undefined],
    ["targets", "delegations/roles/0/path_hash_prefixes", ["00"]],
    ["targets", "custom", "for me"],
  ];
  test.each([
    ...ROLES.flatMap((role) => common.map(([path, value]) => [role, path, value] as const)),
    ...own,
  ])("%s with %s as %j is refused", (role, path, value) => {
    // The path of the target has a slash of its own.
    const signed =
      path === "targets/a/b.bin"
        ? { ...signedOf(role), targets: { "a/b.bin": value } }
        : changed(role, path, value);
    expect(code(role, signed)).toBe("UPTANE_METADATA_MALFORMED");
  });

  test("a role may not be delegated to twice in one place", () => {
    const { delegations } = signedOf("targets") as { delegations: { roles: unknown[] } };
    const roles = [...delegations.roles, ...delegations.roles];
    const twice = changed("targets", "delegations/roles", roles);
    expect(code("targets", twice)).toBe("UPTANE_METADATA_MALFORMED");
  });

  test.each(["2.0.0", "0.9", "10.1"])("of specification %s is refused", (version) => {
    const signed = changed("timestamp", "spec_version", version);
    expect(code("timestamp", signed)).toBe("UPTANE_SPEC_VERSION");
  });

  test.each(ROLES)("%s in the place of another is refused", (role) => {
    const other = role === "root" ? "targets" : "root";
    expect(code(role, signedOf(other))).toBe("UPTANE_METADATA_TYPE");
  });

  test("an old or foreign role beside the four does not matter", () => {
    expect(code("root", changed("root", "roles/mirrors", null))).toBe("accepted");
  });

  test("a key that nobody can read counts for nothing", () => {
    for (const key of [null, {}, { keytype: "x", scheme: "y", keyval: { public: "z" } }]) {
      const bytes = signMetadata(changed("root", "keys", { odd: key }), []);
      expect(parseMetadata("root", bytes).keys.size).toBe(0);
    }
  });

  test("a public key of blanks without end is read in no time", () => {
    const text = `-----BEGIN PUBLIC KEY-----${" ".repeat(8000)}`;
    const key = { keytype: "ecdsa", scheme: "ecdsa-sha2-nistp256", keyval: { public: text } };
    const bytes = signMetadata(changed("root", "keys", { odd: key }), []);
    expect(parseMetadata("root", bytes).keys.size).toBe(0);
  });

  test.each<[string, string]>([
    ["", "UPTANE_METADATA_MALFORMED"],
    ["[]", "UPTANE_METADATA_MALFORMED"],
    ["{}", "UPTANE_METADATA_MALFORMED"],
    ['{"signed":{},"signatures":{}}', "UPTANE_METADATA_MALFORMED"],
    ['{"signed":{"version":1.5},"signatures":[]}', "UPTANE_METADATA_MALFORMED"],
    ['{"signed":{"version":1,"version":2},"signatures":[]}', "UPTANE_METADATA_DUPLICATE_KEY"],
    ['{"signed":{},"signatures":[],"signed":{}}', "UPTANE_METADATA_DUPLICATE_KEY"],
    ["[".repeat(30_000), "UPTANE_METADATA_TOO_DEEP"],
    ['{"a":'.repeat(5000), "UPTANE_METADATA_TOO_DEEP"],
  ])("%.30s is refused", (text, expected) => {
    expect(refusal(() => parseMetadata("timestamp", Buffer.from(text)))).toBe(expected);
  });

  test("more signatures than anybody needs are refused", () => {
    const [key] = repository.signers.get("timestamp") ?? [];
    const many = (count: number) =>
      Array.from({ length: count }, (_, index) => ({
        id: `key ${index}`,
        record: key?.record ?? { keytype: "", scheme: "", keyval: { public: "" } },
        sign: () => "00",
      }));
    const signed = signedOf("timestamp");
    expect(refusal(() => parseMetadata("timestamp", signMetadata(signed, many(64))))).toBe(
      "accepted",
    );
    expect(refusal(() => parseMetadata("timestamp", signMetadata(signed, many(65))))).toBe(
      "UPTANE_METADATA_MALFORMED",
    );
  });

  test.each(ROLES)("%s altered at any place is read as something or refused by code", (role) => {
    const file = [...repository.files].findLast(([name]) => name.endsWith(`${role}.json`))?.[1];
    const bytes = file ?? Buffer.alloc(0);
    expect(bytes.length).toBeGreaterThan(100);
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), fc.boolean(), (index, byte, cut) => {
        const altered = cut ? bytes.subarray(0, index) : Buffer.from(bytes);
        if (!cut) altered[index] = byte;
        expect(refusal(() => parseMetadata(role, altered))).toMatch(
          /^(?:accepted|UPTANE_(?:METADATA_\w+|SPEC_VERSION))$/,
        );
      }),
      { numRuns: 300 },
    );
  });
});
