import { readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openKeyStore } from "#crypto/key-store.ts";
import { keyId } from "#protocol/uptane/key.ts";
import { verifyBy } from "#protocol/uptane/trusted.ts";
import { testFolder } from "#test/helpers/folder.ts";
import {
  beginCeremony,
  elsewhere,
  onlineKeys,
  readTargets,
  signedCeremony,
} from "./ceremony-folder.ts";
import { trust } from "./run-trust.ts";

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
    const again = await trust("init", "--dir", ceremony.dir, "--online-keys", keys);
    expect(again.code).toBe("CEREMONY_EXISTS");
    expect(again.errors).toMatch(
      /director holds a root already: `latticeway trust status` .* --dir/,
    );
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
    [
      "release keys too",
      { ...onlineKeys(), image: { ...onlineKeys().image, targets: onlineKeys().director.targets } },
      "CEREMONY_FILE_INVALID",
    ],
    [
      "root keys too",
      {
        ...onlineKeys(),
        director: { ...onlineKeys().director, root: onlineKeys().image.snapshot },
      },
      "CEREMONY_FILE_INVALID",
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
    for (const [text, code] of [
      ["incorrect horse", "KEY_STORE_PASSPHRASE_WRONG"],
      ["wrong", "KEY_STORE_PASSPHRASE_TOO_SHORT"],
    ]) {
      await writeFile(wrong, `${text}\n`);
      const outcome = await trust("sign", "--dir", ceremony.dir, "--passphrase-file", wrong);
      expect(outcome).toMatchObject({ code, exitCode: 1 });
    }
    expect(await ceremony.names("image")).toEqual([]);
  });

  test("asks for a passphrase rather than writing keys in the clear", async () => {
    const folder = testFolder();
    const file = join(folder, "keys.json");
    await writeFile(file, JSON.stringify(onlineKeys()));
    const outcome = await trust("init", "--dir", join(folder, "it"), "--online-keys", file);
    expect(outcome.code).toBe("KEY_STORE_PASSPHRASE_REQUIRED");
  });

  test("takes no key in the clear, and encrypts it when asked to", async () => {
    const ceremony = await beginCeremony();
    const keys = ceremony.file("keys");
    expect(await ceremony.refusal("encrypt-keys")).toBe("CEREMONY_NOTHING_TO_DO");
    const store = await openKeyStore(join(ceremony.folder, "plain"), undefined);
    const { publicKey } = await store.make("ecdsa-p256");
    const [name = ""] = await readdir(join(ceremony.folder, "plain"));
    await rename(join(ceremony.folder, "plain", name), join(keys, name));
    expect(await ceremony.refusal("sign")).toBe("KEY_STORE_FILE_PLAIN");
    expect(await ceremony.run("encrypt-keys")).toBe(`Encrypted ${join(keys, name)}`);
    const opened = await openKeyStore(keys, "correct horse battery staple");
    expect(opened.signer(publicKey)).toBeDefined();
    await ceremony.run("sign");
  });

  test("says what is missing when this machine holds only a part of the keys", async () => {
    const ceremony = await beginCeremony();
    const other = await elsewhere(ceremony, "other");
    expect(await other.refusal("sign")).toBe("CEREMONY_KEYS_NOT_HERE");
    await ceremony.run("sign");
    expect(await ceremony.refusal("sign")).toBe("CEREMONY_NOTHING_TO_DO");
  });
});

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

  test("takes no keys of offline roles from the gateway", async () => {
    const ceremony = await signedCeremony();
    const file = join(ceremony.folder, "next.json");
    const { director, image } = onlineKeys();
    const common = ["--repository", "image", "--online-keys", file];
    for (const role of ["targets", "root"]) {
      await writeFile(
        file,
        JSON.stringify({ director, image: { ...image, [role]: image.snapshot } }),
      );
      expect(await ceremony.refusal("rotate", ...common)).toBe("CEREMONY_FILE_INVALID");
    }
    expect(await ceremony.names("image", "draft")).toEqual([]);
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
