import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ensureDevelopmentPki, loadServerIdentities, serverCa } from "#crypto/pki.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { testRepository, type TestRepository } from "#test/protocol/uptane/test-repository.ts";
import { serveRepository, type RepositoryServer } from "./repository-server.ts";

const program = new URL("tuf-client.ts", import.meta.url).pathname;
const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const daysFromNow = (days: number) =>
  new Date(Date.now() + days * 86_400_000).toISOString().replace(/\.\d+/, "");

/** A repository that is fresh now, and a client that has its first root. */
async function setUp(change?: (repository: TestRepository) => void) {
  const repository = testRepository({ schemes: ["ed25519"] });
  const { root, timestamp, snapshot, targets } = repository;
  for (const role of [root, timestamp, snapshot, targets]) role.expires = daysFromNow(30);
  repository.sign("root", "timestamp", "snapshot", "targets");
  change?.(repository);
  const server = await serveRepository(repository);
  const client = tufClient(server);
  expect(await client.init(repository.files.get("1.root.json") ?? Buffer.alloc(0))).toBe(0);
  return { repository, server, client };
}

function tufClient({ metadataUrl, targetsUrl }: RepositoryServer, env: NodeJS.ProcessEnv = {}) {
  const folder = testFolder();
  const metadataDir = join(folder, "metadata");
  const targetDir = join(folder, "targets");
  const run = (...args: string[]) =>
    new Promise<number>((resolve) => {
      const all = [program, "--metadata-dir", metadataDir, "--metadata-url", metadataUrl, ...args];
      const child = execFile(process.execPath, all, { env: { ...process.env, ...env } }, () =>
        resolve(child.exitCode ?? -1),
      );
    });
  return {
    init: async (root: Buffer) => {
      await writeFile(join(folder, "initial.json"), root);
      return run("init", join(folder, "initial.json"));
    },
    refresh: (...options: string[]) => run(...options, "refresh"),
    download: (path: string, ...options: string[]) => {
      const target = ["--target-name", path, "--target-dir", targetDir];
      return run(...options, ...target, "--target-base-url", targetsUrl, "download");
    },
    metadata: (role: string) => readFile(join(metadataDir, `${role}.json`)),
    trusted: async () => (await readdir(metadataDir)).sort(),
    downloaded: async () => {
      const names = await readdir(targetDir).catch(() => []);
      return Promise.all(names.map((name) => readFile(join(targetDir, name), "utf8")));
    },
  };
}

function addTarget(
  { repository, server }: { repository: TestRepository; server: RepositoryServer },
  path: string,
  content: string,
): string {
  const bytes = Buffer.from(content);
  repository.addTarget(path, bytes);
  const parts = path.split("/");
  const served = [...parts.slice(0, -1), `${sha256(bytes)}.${parts.at(-1)}`].join("/");
  server.targets.set(served, bytes);
  return served;
}

describe("the client of the TUF conformance suite", () => {
  test("asks in the workflow's order and keeps exactly what it was given", async () => {
    const { repository, server, client } = await setUp();
    expect(server.asked).toEqual([]);
    expect(await client.refresh()).toBe(0);
    expect(server.asked).toEqual([
      "2.root.json",
      "timestamp.json",
      "1.snapshot.json",
      "1.targets.json",
    ]);
    expect(await client.trusted()).toEqual([
      "root.json",
      "snapshot.json",
      "targets.json",
      "timestamp.json",
    ]);
    expect(await client.metadata("targets")).toEqual(repository.files.get("1.targets.json"));
    repository.rotate("root");
    repository.publishAll();
    expect(await client.refresh()).toBe(0);
    expect(await client.metadata("root")).toEqual(repository.files.get("2.root.json"));
    expect(await client.metadata("timestamp")).toEqual(repository.files.get("timestamp.json"));
  });

  test("keeps what was good when something after it is not", async () => {
    const { repository, client } = await setUp();
    repository.publish("root");
    repository.signers.set("snapshot", []);
    repository.publishAll();
    expect(await client.refresh()).toBe(1);
    expect(await client.trusted()).toEqual(["root.json", "timestamp.json"]);
    expect(await client.metadata("root")).toEqual(repository.files.get("2.root.json"));
  });

  test("resists a rollback, and forgets versions when the keys have changed", async () => {
    const { repository, client } = await setUp();
    repository.timestamp.version = 99;
    repository.publishAll();
    expect(await client.refresh()).toBe(0);
    const trusted = await client.metadata("timestamp");
    repository.timestamp.version = 1;
    repository.publishAll();
    expect(await client.refresh()).toBe(1);
    expect(await client.metadata("timestamp")).toEqual(trusted);
    repository.rotate("timestamp");
    repository.publishAll();
    expect(await client.refresh()).toBe(0);
    expect(await client.metadata("timestamp")).toEqual(repository.files.get("timestamp.json"));
  });

  test("takes no first root that is not signed, and then asks nobody", async () => {
    const { repository, server, client } = await setUp();
    const root = JSON.parse(String(repository.files.get("1.root.json"))) as object;
    const stranger = tufClient(server);
    expect(await stranger.init(Buffer.from(JSON.stringify({ ...root, signatures: [] })))).toBe(1);
    expect(await stranger.refresh()).toBe(1);
    expect(server.asked).toEqual([]);
    expect(await client.refresh()).toBe(0);
  });

  test("knows that metadata ends, also at a time it is told", async () => {
    const { client } = await setUp(({ targets, sign }) => {
      targets.expires = daysFromNow(10);
      sign("targets");
    });
    expect(await client.refresh("--days-in-future", "9")).toBe(0);
    expect(await client.refresh("--days-in-future", "11")).toBe(1);
    expect(await client.refresh()).toBe(0);
  });

  test("follows as many roots as it may", async () => {
    const { repository, client } = await setUp();
    for (let i = 0; i < 3; i++) repository.publish("root");
    expect(await client.refresh("--max-root-rotations", "2")).toBe(0);
    expect(await client.metadata("root")).toEqual(repository.files.get("3.root.json"));
  });

  test("asks over https too, of whom it trusts", async () => {
    const folder = testFolder();
    await ensureDevelopmentPki(folder, { algorithms: ["ecdsa-p256"] });
    const [identity] = await loadServerIdentities(folder);
    const { repository } = await setUp();
    const server = await serveRepository(repository, { key: identity?.key, cert: identity?.chain });
    const root = repository.files.get("1.root.json") ?? Buffer.alloc(0);
    const ca = join(folder, "ca.pem");
    await writeFile(ca, await serverCa(folder));
    for (const [env, code] of [
      [{ NODE_EXTRA_CA_CERTS: ca }, 0],
      [{}, 1],
    ] as const) {
      const client = tufClient(server, env);
      expect(await client.init(root)).toBe(0);
      expect(await client.refresh()).toBe(code);
    }
  });

  test("stops reading what has no end", async () => {
    const { server, client } = await setUp();
    server.endless.add("timestamp.json");
    expect(await client.refresh()).toBe(1);
    expect(await client.trusted()).toEqual(["root.json"]);
  });

  test("downloads a target once, and again when it has changed", async () => {
    const { repository, server, client } = await setUp();
    const served = addTarget({ repository, server }, "path/to/file.txt", "one");
    repository.publishAll();
    expect(await client.refresh()).toBe(0);
    expect(await client.downloaded()).toEqual([]);
    expect(await client.download("path/to/file.txt")).toBe(0);
    expect(await client.download("path/to/file.txt")).toBe(0);
    expect(server.asked.filter((name) => name === served)).toHaveLength(1);
    expect(await client.downloaded()).toEqual(["one"]);
    addTarget({ repository, server }, "path/to/file.txt", "other");
    repository.publishAll();
    expect(await client.download("path/to/file.txt")).toBe(0);
    expect(await client.downloaded()).toEqual(["other"]);
    expect(await client.download("path/to/nothing.txt")).toBe(1);
  });

  test("keeps no target that is not the signed one, or that has no end", async () => {
    const { repository, server, client } = await setUp();
    const altered = addTarget({ repository, server }, "a.txt", "content");
    const longer = addTarget({ repository, server }, "b.txt", "content");
    const endless = addTarget({ repository, server }, "c.txt", "content");
    repository.publishAll();
    server.targets.set(altered, Buffer.from("c0ntent"));
    server.targets.set(longer, Buffer.from("content and more"));
    server.endless.add(endless);
    for (const path of ["a.txt", "b.txt", "c.txt"]) expect(await client.download(path)).toBe(1);
    expect(await client.downloaded()).toEqual([]);
  });

  test.each(["?", "../up"])("keeps a delegated role called %s beside the others", async (role) => {
    const { repository, server, client } = await setUp((fresh) => {
      fresh.delegate("targets", role);
      const delegated = fresh.delegated.get(role);
      if (delegated) delegated.expires = daysFromNow(30);
      fresh.publishAll();
    });
    expect(await client.download("nothing")).toBe(1);
    expect(server.asked.at(-1)).toBe(`1.${encodeURIComponent(role)}.json`);
    expect(await client.trusted()).toHaveLength(5);
    server.asked.length = 0;
    repository.publish("timestamp");
    expect(await client.download("nothing")).toBe(1);
    expect(server.asked).toEqual(["2.root.json", "timestamp.json"]);
  });
});
