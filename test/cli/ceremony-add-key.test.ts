import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { verifyBy } from "#protocol/uptane/trusted.ts";
import { verifyDelegated } from "#protocol/uptane/update.ts";
import {
  beginCeremony,
  bringBack,
  elsewhere,
  foreignKeyPem,
  pendingTarget,
  publicKeyPem,
  readTargets,
  signedCeremony,
} from "./ceremony-folder.ts";

const IMAGE = Buffer.from("firmware");
const PATH = "brake-controller/1.2.3.bin";

describe("latticeway trust add-key", () => {
  test("lets two people sign a root, one after the other on machines of their own", async () => {
    const alice = await beginCeremony();
    const bob = await elsewhere(alice, "bob");
    const pub = join(alice.folder, "bob.pub");
    await bob.run("make-keys", "--out", pub);
    const common = ["--repository", "image", "--role", "root"];
    await alice.run("add-key", ...common, "--public", pub, "--threshold", "2");
    expect(await alice.names("image", "draft")).toEqual(["1.root.json", "1.targets.json"]);
    expect(await alice.run("status")).toContain(
      "needs 2 classical keys of root 1, 2 post-quantum keys of root 1",
    );
    expect(await alice.run("sign")).toMatch(
      /1\.root\.json .* 2 signatures made here; still needs 1 more classical key of root 1, 1 more post-quantum key of root 1/,
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
    await bringBack(supplier, ceremony);
    const next = join(ceremony.folder, "supplier-next.pub");
    await supplier.run("make-keys", "--out", next);
    const rotate = ["rotate", "--repository", "image", "--role"] as const;
    expect(await ceremony.refusal(...rotate, "supplier-b")).toBe("CEREMONY_ROLE_UNKNOWN");
    await ceremony.run(...rotate, "supplier-a", "--public", next);
    await ceremony.run("sign");
    await bringBack(ceremony, supplier);
    await supplier.run("sign");
    const after = await readTargets(supplier, "image", "3.targets.json");
    const [changed = role] = after.signed.delegations?.roles ?? [];
    expect(changed.keyids).not.toEqual(role.keyids);
    const again = await readTargets(supplier, "image", "2.supplier-a.json");
    expect(again.signed.targets).toEqual(own.signed.targets);
    verifyDelegated(await ceremony.chain("image"), { delegator: after, role: changed }, again, {
      now: new Date(),
    });
    expect(await ceremony.run("status")).toContain("supplier-a");
  });

  test("knows no supplier of a director", async () => {
    const ceremony = await beginCeremony();
    const pub = join(ceremony.folder, "some.pub");
    await ceremony.run("make-keys", "--out", pub);
    const common = ["--repository", "director", "--role", "supplier-a", "--public", pub];
    const code = await ceremony.refusal("add-key", ...common, "--paths", "*");
    expect(code).toBe("CEREMONY_ROLE_UNKNOWN");
    expect(await ceremony.names("director", "draft")).toEqual(["1.root.json"]);
  });

  test("has the targets signed again when more release keys must sign", async () => {
    const ceremony = await signedCeremony();
    const pub = join(ceremony.folder, "bob.pub");
    await ceremony.run("make-keys", "--out", pub);
    const common = ["--repository", "image", "--role", "targets", "--public", pub];
    await ceremony.run("add-key", ...common, "--threshold", "2");
    await ceremony.run("sign");
    const { root } = await ceremony.chain("image");
    const targets = await readTargets(ceremony, "image", "2.targets.json");
    verifyBy(root, "targets", targets, {}, new Set());
    const old = await readTargets(ceremony, "image", "1.targets.json");
    expect(() => verifyBy(root, "targets", old, {}, new Set())).toThrow(/1 of 2/);
  });

  test.each<[string, (folder: string) => Promise<string>, string]>([
    ["a file without key", (folder) => write(folder, "nothing"), "CEREMONY_FILE_INVALID"],
    [
      "a private key",
      (folder) => write(folder, "-----BEGIN PRIVATE KEY-----"),
      "CEREMONY_FILE_INVALID",
    ],
    [
      "a private key beside a public one",
      (folder) => write(folder, `${publicKeyPem()}-----BEGIN PRIVATE KEY-----`),
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
