import { generateKeyPairSync } from "node:crypto";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect } from "vitest";
import { generateKeys, HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import type { OnlineKeys, PendingTarget } from "#protocol/api/trust.ts";
import { describeFile } from "#protocol/uptane/build.ts";
import { hardwareId } from "#protocol/uptane/hardware-id.ts";
import { keyRecord } from "#protocol/uptane/key.ts";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { releaseCounter } from "#protocol/uptane/release-counter.ts";
import { trustRoot, type TrustedRepository } from "#protocol/uptane/trusted.ts";
import { updateRoot } from "#protocol/uptane/update.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { trust } from "./run-trust.ts";

/** A ceremony of this test alone, begun by `trust init`. */
export interface TestCeremony {
  folder: string;
  dir: string;
  /** Runs a command that must succeed; `--dir` and the passphrase are given. */
  run: (command: string, ...args: string[]) => Promise<string>;
  /** The code that a command fails with. */
  refusal: (command: string, ...args: string[]) => Promise<string>;
  file: (...path: string[]) => string;
  names: (...path: string[]) => Promise<string[]>;
  /** What a vehicle that was built with the first root believes at the end. */
  chain: (repository: "director" | "image") => Promise<TrustedRepository>;
}

const records = () =>
  HYBRID_ALGORITHMS.map((algorithm) => keyRecord(generateKeys(algorithm).publicKey));

export function onlineKeys(): OnlineKeys {
  return {
    director: { targets: records(), snapshot: records(), timestamp: records() },
    image: { snapshot: records(), timestamp: records() },
  };
}

/** Commands that take private keys. */
const WITH_KEYS = new Set(["init", "sign", "rotate", "make-keys", "encrypt-keys"]);

export function ceremonyIn(folder: string, dir: string): TestCeremony {
  const all = (command: string, args: string[]) => [
    command,
    ...args,
    ...["--dir", dir],
    ...(WITH_KEYS.has(command) ? ["--passphrase-file", join(folder, "passphrase")] : []),
  ];
  const file = (...path: string[]) => join(dir, ...path);
  const names = async (...path: string[]) =>
    (await readdir(file(...path), { withFileTypes: true }).catch(() => []))
      .filter((entry) => entry.isFile())
      .map(({ name }) => name)
      .sort();
  return {
    folder,
    dir,
    file,
    names,
    run: async (command, ...args) => {
      const { code, errors, output } = await trust(...all(command, args));
      expect(errors).toBe("");
      expect(code).toBe("ok");
      return output;
    },
    refusal: async (command, ...args) => {
      const { code, exitCode, errors, output } = await trust(...all(command, args));
      expect(output).toBe("");
      expect(exitCode).toBe(1);
      expect(errors).toMatch(new RegExp(`^error: [^\\n]+ \\(${code}\\)\\n$`));
      return code;
    },
    chain: async (repository) => {
      const roots = (await names(repository)).filter((name) => name.endsWith(".root.json"));
      let trusted = trustRoot(await readFile(file(repository, "1.root.json")), {});
      for (let version = 2; version <= roots.length; version++) {
        trusted = updateRoot(trusted, await readFile(file(repository, `${version}.root.json`)), {});
      }
      return trusted;
    },
  };
}

/** A ceremony that has just begun: nothing is signed. */
export async function beginCeremony(online: OnlineKeys = onlineKeys()): Promise<TestCeremony> {
  const folder = testFolder();
  await writeFile(join(folder, "passphrase"), "correct horse battery staple\n");
  await writeFile(join(folder, "online-keys.json"), JSON.stringify(online));
  const ceremony = ceremonyIn(folder, join(folder, "ceremony"));
  await ceremony.run("init", "--online-keys", join(folder, "online-keys.json"));
  return ceremony;
}

/** A ceremony whose first files are signed. */
export async function signedCeremony(online?: OnlineKeys): Promise<TestCeremony> {
  const ceremony = await beginCeremony(online);
  await ceremony.run("sign");
  return ceremony;
}

/** The same files on a machine with other keys. */
export async function elsewhere(
  { folder, dir }: TestCeremony,
  name: string,
): Promise<TestCeremony> {
  const copy = ceremonyIn(folder, join(folder, name));
  for (const repository of ["director", "image"]) {
    await cp(join(dir, repository), copy.file(repository), { recursive: true });
  }
  return copy;
}

/** Brings back what was signed there. */
export async function bringBack(from: TestCeremony, to: TestCeremony): Promise<void> {
  for (const repository of ["director", "image"]) {
    await cp(from.file(repository), to.file(repository), { recursive: true });
  }
}

export function pendingTarget(path: string, content: Buffer): PendingTarget {
  const [ecu_type = "", version = ""] = path.replace(/\.bin$/, "").split("/");
  const custom = {
    ecu_type,
    hardware_ids: [hardwareId(ecu_type, "HW-1.0")],
    version,
    release_counter: releaseCounter(version),
  };
  return { path, ...describeFile(content), custom };
}

export async function readTargets({ file }: TestCeremony, ...path: string[]) {
  const bytes = await readFile(file(...path));
  return parseMetadata("targets", bytes, path.at(-1));
}

/** A public key of an algorithm that may sign nothing here. */
export function foreignKeyPem(): string {
  return generateKeyPairSync("x25519").publicKey.export({ type: "spki", format: "pem" });
}

export function publicKeyPem(): string {
  return generateKeys("ecdsa-p256").publicKey.export({ type: "spki", format: "pem" });
}
