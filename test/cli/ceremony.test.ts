import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { keyId } from "#protocol/uptane/key.ts";
import { verifyBy } from "#protocol/uptane/trusted.ts";
import { verifyDelegated } from "#protocol/uptane/update.ts";
import { testFolder } from "#test/helpers/folder.ts";
import {
  beginCeremony,
  bringBack,
  elsewhere,
  foreignKeyPem,
  onlineKeys,
  pendingTarget,
  readTargets,
  signedCeremony,
} from "./ceremony-folder.ts";
import { trust } from "./run-trust.ts";

const IMAGE = Buffer.from("firmware");
const PATH = "brake-controller/1.2.3.bin";

describe("latticeway trust init and sign", () => {
  test("makes two roots that a vehicle trusts, and empty image targets", async () => {
    const online = onlineKeys();
    const ceremony = await signedCeremony(online);
    expect(await ceremony.names("director")).toEqual(["1.root.json"]);
    expect(await ceremony.names("image")).toEqual(["1.root.json", "1.targets.json"]);
    expect(await ceremony.names("image", "draft")).toEqual([]);
    const { root } = await ceremony.chain("image");
    const targets = await readTargets(ceremony, "image", "1.targets.json");
    verifyBy(root, "targets", targets, {}, new Set());
    const director = (await ceremony.chain("director")).root.signed;
    for (const role of ["targets", "snapshot", "timestamp"] as const) {
      expect(director.roles[role].keyids).toEqual(online.director[role].map(keyId));
    }
    const days = (Date.parse(director.expires) - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(365);
  });

  test("keeps six private keys, encrypted, and shows none of them", async () => {
    const ceremony = await beginCeremony();
    const keys = await ceremony.names("keys");
    expect(keys).toHaveLength(6);
    for (const name of keys) {
      const text = await readFile(ceremony.file("keys", name), "utf8");
      expect(text).toContain('"name": "scrypt"');
      expect(text).not.toContain("PRIVATE KEY");
      expect((await stat(ceremony.file("keys", name))).mode & 0o777).toBe(0o600);
    }
    expect(await ceremony.run("sign")).not.toMatch(/PRIVATE|passphrase|correct horse/);
  });

  test("refuses to begin twice, and leaves what is there", async () => {
    const ceremony = await beginCeremony();
    const before = await readFile(ceremony.file("image", "draft", "1.root.json"));
    const keys = join(ceremony.folder, "online-keys.json");
    expect(await ceremony.refusal("init", "--online-keys", keys)).toBe("CEREMONY_EXISTS");
    expect(await readFile(ceremony.file("image", "draft", "1.root.json"))).toEqual(before);
    expect(await ceremony.names("keys")).toHaveLength(6);
  });

  test.each<[string, unknown, string]>([
    ["no JSON", undefined, "CEREMONY_FILE_INVALID"],
    ["another shape", {}, "CEREMONY_FILE_INVALID"],
    [
      "a role without post-quantum key",
      {
        ...onlineKeys(),
        image: {
          snapshot: onlineKeys().image.snapshot.slice(0, 1),
          timestamp: onlineKeys().image.timestamp,
        },
      },
      "CEREMONY_KEYS_INCOMPLETE",
    ],
  ])("refuses online keys that are %s, and makes no keys", async (_name, content, code) => {
    const folder = testFolder();
    const [file, dir] = [join(folder, "keys.json"), join(folder, "ceremony")];
    await writeFile(file, content === undefined ? "{" : JSON.stringify(content));
    const outcome = await trust("init", "--dir", dir, "--online-keys", file);
    expect(outcome).toMatchObject({ code, exitCode: 1 });
    await expect(readdir(dir)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("opens the keys by the right passphrase only", async () => {
    const ceremony = await beginCeremony();
    const wrong = join(ceremony.folder, "wrong");
    await writeFile(wrong, "wrong\n");
    const outcome = await trust("sign", "--dir", ceremony.dir, "--passphrase-file", wrong);
    expect(outcome).toMatchObject({ code: "KEY_STORE_PASSPHRASE_WRONG", exitCode: 1 });
    expect(await ceremony.names("image")).toEqual([]);
  });

  test("asks for a passphrase rather than writing keys in the clear", async () => {
    const folder = testFolder();
    const file = join(folder, "keys.json");
    await writeFile(file, JSON.stringify(onlineKeys()));
    const outcome = await trust("init", "--dir", join(folder, "it"), "--online-keys", file);
    expect(outcome.code).toBe("KEY_STORE_PASSPHRASE_REQUIRED");
  });

  test("says what is missing when this machine holds only a part of the keys", async () => {
    const ceremony = await beginCeremony();
    const other = await elsewhere(ceremony, "other");
    expect(await other.refusal("sign")).toBe("CEREMONY_KEYS_NOT_HERE");
    await ceremony.run("sign");
    expect(await ceremony.refusal("sign")).toBe("CEREMONY_NOTHING_TO_DO");
  });
});

describe("latticeway trust add-key", () => {
  test("lets two people sign a root, one after the other on machines of their own", async () => {
    const alice = await beginCeremony();
    const bob = await elsewhere(alice, "bob");
    const pub = join(alice.folder, "bob.pub");
    await bob.run("make-keys", "--out", pub);
    const common = ["--repository", "image", "--role", "root"];
    await alice.run("add-key", ...common, "--public", pub, "--threshold", "2");
    expect(await alice.names("image", "draft")).toEqual(["1.root.json", "1.targets.json"]);
    expect(await alice.run("sign")).toMatch(
      /1\.root\.json .* 2 signatures made here; still needs 2 of the classical keys of root 1/,
    );
    expect(await alice.names("image")).toEqual(["1.targets.json"]);
    await bringBack(alice, bob);
    const draft = bob.file("image", "draft", "1.root.json");
    expect(await bob.run("sign", draft)).toMatch(/2 signatures made here; signed by all who must/);
    await bringBack(bob, alice);
    const { root } = await alice.chain("image");
    expect(root.signed.roles.root).toMatchObject({ threshold: 2 });
    expect(root.signatures).toHaveLength(4);
    expect(await alice.run("status")).not.toContain("draft");
  });

  test("leaves images to a supplier, who signs them with keys of its own", async () => {
    const ceremony = await signedCeremony();
    const supplier = await elsewhere(ceremony, "supplier");
    const pub = join(ceremony.folder, "supplier.pub");
    await supplier.run("make-keys", "--out", pub);
    const common = ["--repository", "image", "--role", "supplier-a", "--public", pub];
    expect(await ceremony.refusal("add-key", ...common)).toBe("CEREMONY_ROLE_UNKNOWN");
    await ceremony.run("add-key", ...common, "--paths", "brake-controller/*");
    await ceremony.run("sign", ceremony.file("image", "draft", "2.targets.json"));
    const empty = ceremony.file("image", "draft", "1.supplier-a.json");
    expect(await ceremony.refusal("sign", empty)).toBe("CEREMONY_KEYS_NOT_HERE");
    await bringBack(ceremony, supplier);
    const pending = join(ceremony.folder, "pending.json");
    await writeFile(pending, JSON.stringify([pendingTarget("other/1.0.0.bin", IMAGE)]));
    const add = ["add-target", "--pending", pending, "--role", "supplier-a"] as const;
    expect(await supplier.refusal(...add)).toBe("CEREMONY_ROLE_UNKNOWN");
    await writeFile(pending, JSON.stringify([pendingTarget(PATH, IMAGE)]));
    await supplier.run(...add);
    await supplier.run("sign");
    const targets = await readTargets(supplier, "image", "2.targets.json");
    const [role] = targets.signed.delegations?.roles ?? [];
    if (role === undefined) throw new Error("no delegation");
    expect(role).toMatchObject({ paths: ["brake-controller/*"], terminating: true, threshold: 1 });
    const own = await readTargets(supplier, "image", "1.supplier-a.json");
    expect(own.signed.targets[PATH]).toMatchObject({ length: IMAGE.length });
    verifyDelegated(await ceremony.chain("image"), { delegator: targets, role }, own, {
      now: new Date(),
    });
    const next = join(ceremony.folder, "supplier-next.pub");
    await supplier.run("make-keys", "--out", next);
    const rotate = ["rotate", "--repository", "image", "--role", "supplier-a", "--public"] as const;
    await ceremony.run(...rotate, next);
    await ceremony.run("sign", ceremony.file("image", "draft", "3.targets.json"));
    const after = await readTargets(ceremony, "image", "3.targets.json");
    expect(after.signed.delegations?.roles[0]?.keyids).not.toEqual(role.keyids);
    expect(await ceremony.run("status")).toContain("supplier-a");
  });

  test.each<[string, (folder: string) => Promise<string>, string]>([
    ["a file without key", (folder) => write(folder, "nothing"), "CEREMONY_FILE_INVALID"],
    [
      "a private key",
      (folder) => write(folder, "-----BEGIN PRIVATE KEY-----"),
      "CEREMONY_FILE_INVALID",
    ],
    ["half a key", (folder) => write(folder, pem("AAAA")), "CEREMONY_FILE_INVALID"],
    [
      "a key that can't sign",
      (folder) => write(folder, foreignKeyPem()),
      "UPTANE_SCHEME_UNSUPPORTED",
    ],
    ["a file that is not there", (folder) => Promise.resolve(join(folder, "none")), "ENOENT"],
  ])("refuses %s", async (_name, make, code) => {
    const ceremony = await beginCeremony();
    const file = await make(ceremony.folder);
    const common = ["--repository", "image", "--role", "root", "--public", file];
    expect(await ceremony.refusal("add-key", ...common)).toBe(code);
  });

  test("refuses a threshold that nobody could reach", async () => {
    const ceremony = await beginCeremony();
    const pub = join(ceremony.folder, "bob.pub");
    await (await elsewhere(ceremony, "bob")).run("make-keys", "--out", pub);
    const common = ["--repository", "image", "--role", "root", "--public", pub];
    const code = await ceremony.refusal("add-key", ...common, "--threshold", "3");
    expect(code).toBe("CEREMONY_KEYS_INCOMPLETE");
  });
});

const pem = (base64: string) => `-----BEGIN PUBLIC KEY-----\n${base64}\n-----END PUBLIC KEY-----\n`;

async function write(folder: string, text: string): Promise<string> {
  const file = join(folder, "some.pub");
  await writeFile(file, text);
  return file;
}

describe("latticeway trust rotate", () => {
  test("replaces the root keys, signed by the old and the new ones", async () => {
    const ceremony = await signedCeremony();
    const before = (await ceremony.chain("director")).root.signed.roles.root.keyids;
    await ceremony.run("rotate", "--repository", "director", "--role", "root");
    await ceremony.run("sign");
    const { root, revokedKeyIds } = await ceremony.chain("director");
    expect(root.signed.version).toBe(2);
    expect(root.signatures).toHaveLength(4);
    expect(root.signed.roles.root.keyids).toHaveLength(2);
    expect([...revokedKeyIds].sort()).toEqual([...before].sort());
  });

  test("replaces the release keys, and signs the targets again", async () => {
    const ceremony = await signedCeremony();
    await ceremony.run("rotate", "--repository", "image", "--role", "targets");
    await ceremony.run("sign");
    const { root } = await ceremony.chain("image");
    const targets = await readTargets(ceremony, "image", "2.targets.json");
    verifyBy(root, "targets", targets, {}, new Set());
    const old = await readTargets(ceremony, "image", "1.targets.json");
    expect(() => verifyBy(root, "targets", old, {}, new Set())).toThrow(/no signature/);
  });

  test("replaces online keys by those of a file, of one role or all", async () => {
    const ceremony = await signedCeremony();
    const [online, file] = [onlineKeys(), join(ceremony.folder, "next.json")];
    await writeFile(file, JSON.stringify(online));
    const common = ["--repository", "image", "--online-keys", file];
    const before = (await ceremony.chain("image")).root.signed.roles;
    expect(await ceremony.refusal("rotate", ...common, "--role", "targets")).toBe(
      "CEREMONY_ROLE_UNKNOWN",
    );
    await ceremony.run("rotate", ...common, "--role", "timestamp");
    await ceremony.run("sign");
    const second = (await ceremony.chain("image")).root.signed.roles;
    expect(second.timestamp.keyids).toEqual(online.image.timestamp.map(keyId));
    expect(second.snapshot).toEqual(before.snapshot);
    await ceremony.run("rotate", ...common);
    await ceremony.run("sign");
    const third = (await ceremony.chain("image")).root.signed.roles;
    expect(third.snapshot.keyids).toEqual(online.image.snapshot.map(keyId));
    expect(third.targets).toEqual(before.targets);
  });

  test("takes away one person's keys, and leaves the others'", async () => {
    const ceremony = await signedCeremony();
    const { keyids } = (await ceremony.chain("image")).root.signed.roles.root;
    const pub = join(ceremony.folder, "bob.pub");
    await ceremony.run("make-keys", "--out", pub);
    const common = ["--repository", "image", "--role", "root", "--public", pub];
    for (const id of ["ffff00", ""]) {
      const code = await ceremony.refusal("rotate", ...common, "--replace", id);
      expect(code).toBe("CEREMONY_KEY_UNKNOWN");
    }
    const [first = "", second = ""] = keyids;
    await ceremony.run("rotate", ...common, "--replace", first.slice(0, 12));
    await ceremony.run("sign");
    const after = (await ceremony.chain("image")).root.signed.roles.root.keyids;
    expect(after).not.toContain(first);
    expect(after).toContain(second);
    expect(after).toHaveLength(3);
  });

  test("renews what would expire, with the same keys", async () => {
    const ceremony = await signedCeremony();
    const before = (await ceremony.chain("image")).root.signed;
    await ceremony.run("rotate", "--repository", "image", "--root-days", "400");
    await ceremony.run("sign");
    const after = (await ceremony.chain("image")).root.signed;
    expect(after.roles).toEqual(before.roles);
    expect(after.version).toBe(2);
    const days = (Date.parse(after.expires) - Date.now()) / 86_400_000;
    expect(Math.round(days)).toBe(400);
    expect(await ceremony.names("image")).toContain("2.targets.json");
  });

  test("changes a draft under its version until all have signed it", async () => {
    const ceremony = await signedCeremony();
    await ceremony.run("rotate", "--repository", "director", "--role", "root");
    await ceremony.run("rotate", "--repository", "director");
    expect(await ceremony.names("director", "draft")).toEqual(["2.root.json"]);
    await ceremony.run("sign");
    await ceremony.run("rotate", "--repository", "director");
    expect(await ceremony.names("director", "draft")).toEqual(["3.root.json"]);
  });
});

describe("latticeway trust add-target", () => {
  test("names images that wait, once, beside those that were there", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    await writeFile(file, JSON.stringify([pendingTarget(PATH, IMAGE)]));
    expect(await ceremony.run("add-target", "--pending", file)).toContain(PATH);
    expect(await ceremony.run("targets")).toMatch(/ targets 2 +draft$/m);
    await ceremony.run("sign");
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("CEREMONY_NOTHING_TO_DO");
    const second = "brake-controller/1.2.4.bin";
    const both = [pendingTarget(PATH, IMAGE), pendingTarget(second, Buffer.from("next"))];
    await writeFile(file, JSON.stringify(both));
    expect(await ceremony.refusal("add-target", "--pending", file, "other.bin")).toBe(
      "CEREMONY_IMAGE_UNKNOWN",
    );
    await ceremony.run("add-target", "--pending", file, second);
    await ceremony.run("sign");
    const { signed } = await readTargets(ceremony, "image", "3.targets.json");
    expect(Object.keys(signed.targets)).toEqual([PATH, second]);
    const { path: _path, ...description } = pendingTarget(PATH, IMAGE);
    expect(signed.targets[PATH]).toEqual(description);
  });

  test("never replaces an image under its path", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    await writeFile(file, JSON.stringify([pendingTarget(PATH, IMAGE)]));
    await ceremony.run("add-target", "--pending", file);
    await ceremony.run("sign");
    await writeFile(file, JSON.stringify([pendingTarget(PATH, Buffer.from("other"))]));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("CEREMONY_TARGET_DIFFERS");
    expect(await ceremony.names("image", "draft")).toEqual([]);
  });

  test("refuses an image that was not built here, if builds are given", async () => {
    const ceremony = await signedCeremony();
    const [file, images] = [join(ceremony.folder, "pending.json"), join(ceremony.folder, "built")];
    await mkdir(join(images, "brake"), { recursive: true });
    await writeFile(join(images, "brake", "release.bin"), IMAGE);
    const args = ["--pending", file, "--images", images];
    const other = pendingTarget(PATH, Buffer.from("slipped in by the gateway"));
    for (const wrong of [
      other,
      { ...pendingTarget(PATH, IMAGE), length: 1 },
      {
        ...pendingTarget(PATH, IMAGE),
        hashes: { ...other.hashes, sha256: pendingTarget(PATH, IMAGE).hashes.sha256 },
      },
    ]) {
      await writeFile(file, JSON.stringify([wrong]));
      expect(await ceremony.refusal("add-target", ...args)).toBe("CEREMONY_IMAGE_UNKNOWN");
    }
    await writeFile(file, JSON.stringify([pendingTarget(PATH, IMAGE)]));
    await ceremony.run("add-target", ...args);
  });

  test("refuses an image that does not say which hardware it is for", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "pending.json");
    await writeFile(file, JSON.stringify([{ ...pendingTarget(PATH, IMAGE), custom: {} }]));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("UPTANE_CUSTOM_MALFORMED");
    await writeFile(file, JSON.stringify([{ path: PATH }]));
    expect(await ceremony.refusal("add-target", "--pending", file)).toBe("CEREMONY_FILE_INVALID");
  });
});

describe("a ceremony's folder", () => {
  test("without a root is refused by every command", async () => {
    const folder = testFolder();
    for (const args of [["sign"], ["status"], ["targets"], ["rotate", "--repository", "image"]]) {
      const outcome = await trust(...args, "--dir", folder);
      expect(outcome).toMatchObject({ code: "CEREMONY_MISSING", exitCode: 1 });
    }
  });

  test("tells of a file under another version, altered, or of no kind", async () => {
    const ceremony = await signedCeremony();
    const root = await readFile(ceremony.file("image", "1.root.json"));
    await writeFile(ceremony.file("image", "2.root.json"), root);
    expect(await ceremony.refusal("status")).toBe("CEREMONY_FILE_INVALID");
    await writeFile(ceremony.file("image", "2.root.json"), "{");
    expect(await ceremony.refusal("status")).toBe("UPTANE_METADATA_MALFORMED");
    await writeFile(ceremony.file("image", "2.root.json"), Buffer.alloc(600_000));
    expect(await ceremony.refusal("status")).toBe("CEREMONY_FILE_INVALID");
    expect(await ceremony.refusal("sign", join(ceremony.folder, "passphrase"))).toBe(
      "CEREMONY_FILE_INVALID",
    );
  });

  test("that lacks the root before can't have the next one signed", async () => {
    const ceremony = await signedCeremony();
    await ceremony.run("rotate", "--repository", "director");
    const alone = join(testFolder(), "2.root.json");
    await writeFile(alone, await readFile(ceremony.file("director", "draft", "2.root.json")));
    expect(await ceremony.refusal("sign", alone)).toBe("CEREMONY_MISSING");
  });
});
