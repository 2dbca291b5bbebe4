import { randomBytes } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { refresh } from "#protocol/uptane/refresh.ts";
import { runWorkflow } from "#protocol/uptane/run-workflow.ts";
import { trustRoot } from "#protocol/uptane/trusted.ts";
import { createMetrics } from "#server/runtime/metrics.ts";
import { trackState } from "#server/runtime/state.ts";
import { openTrust, type Trust } from "#server/trust/open.ts";
import { liveFile, liveRoots } from "#server/trust/queries.ts";
import { insertFirmware } from "#server/firmware/queries.ts";
import { publish, uploadForm } from "#test/helpers/fleet-data.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";

const DAY = 24 * 3_600_000;

describe("a gateway in development", () => {
  let own: OwnDatabase;
  let folder: ReturnType<typeof temporaryFolder>;
  const lines: Record<string, unknown>[] = [];
  const log = pino(
    { level: "info" },
    { write: (line) => lines.push(JSON.parse(line) as Record<string, unknown>) },
  );
  const metrics = createMetrics(trackState());
  const open = (): Promise<Trust> =>
    openTrust({ db: own.db, config: loadServerConfig({}).trust, metrics, log }, folder.path);
  const names = (...path: string[]) => readdir(join(folder.path, "trust", ...path));
  const version = async (role: "snapshot" | "timestamp" | "targets") =>
    parseMetadata(role, (await liveFile(own.db, "image", role)) ?? Buffer.of()).signed.version;
  const refreshed = async (now: Date) => {
    const [root] = await liveRoots(own.db, "image");
    return runWorkflow(
      refresh(trustRoot(root?.bytes ?? Buffer.of(), {}), { now }),
      async (step) => {
        if (step.kind !== "fetch") return undefined;
        const [, number, role = ""] = /^(?:(\d+)\.)?(\w+)\.json$/.exec(step.file) ?? [];
        return liveFile(own.db, "image", role, number === undefined ? undefined : Number(number));
      },
    );
  };

  beforeAll(async () => {
    own = await ownDatabase();
    folder = temporaryFolder();
  });
  afterAll(async () => {
    await own.remove();
    folder.remove();
  });

  test("makes keys and roots once, however many gateways start on the folder at once", async () => {
    await Promise.all([open(), open(), open()]);
    expect((await names()).sort()).toEqual([
      "director.root.json",
      "image.root.json",
      "offline",
      "online",
    ]);
    const keys = [...(await names("online")), ...(await names("offline"))];
    expect(keys).toHaveLength(16);
    for (const repository of ["director", "image"] as const) {
      const [root, ...others] = await liveRoots(own.db, repository);
      const file = join(folder.path, "trust", `${repository}.root.json`);
      expect(others).toEqual([]);
      expect(await readFile(file)).toEqual(root?.bytes);
      expect((await stat(file)).mode & 0o777).toBe(0o644);
    }
    await open();
    expect([...(await names("online")), ...(await names("offline"))]).toEqual(keys);
    expect(Object.keys((await refreshed(new Date())).targets?.signed.targets ?? {})).toEqual([]);
  });

  test("signs images that were there before it knew of targets, with the hash they have", async () => {
    const firmware_id = crypto.randomUUID();
    await insertFirmware(
      own.db,
      {
        ecu_type: "brake",
        version: "0.9.0",
        hardware_versions: ["HW-1.0"],
        channel: "stable",
        critical: false,
      },
      {
        firmware_id,
        size: 10,
        sha256: "a".repeat(64),
        sha512: "b".repeat(128),
        compressed_size: 10,
        compressed_sha256: "a".repeat(64),
        created_by: "t",
      },
    );
    await own.db.updateTable("firmware").set({ sha512: null }).execute();
    await open();
    const { targets } = await refreshed(new Date());
    expect(targets?.signed.targets["brake/0.9.0.bin"]).toMatchObject({
      length: 10,
      hashes: { sha256: "a".repeat(64) },
    });
    const row = await own.db.selectFrom("firmware").select("published_at").executeTakeFirst();
    expect(row?.published_at).toBeInstanceOf(Date);
  });

  test("renews what it signs before it ends, and nothing before that", async () => {
    const trust = await open();
    const before = [await version("snapshot"), await version("timestamp")];
    await trust.maintain(new Date(Date.now() + 0.4 * DAY));
    expect([await version("snapshot"), await version("timestamp")]).toEqual(before);
    const later = new Date(Date.now() + 0.6 * DAY);
    await trust.maintain(later);
    const after = [await version("snapshot"), await version("timestamp")];
    expect(after[1]).toBeGreaterThan(before[1] ?? 0);
    await refreshed(new Date(later.getTime() + 0.9 * DAY));
    await expect(refreshed(new Date(later.getTime() + 1.1 * DAY))).rejects.toMatchObject({
      code: "UPTANE_EXPIRED",
    });
  });

  test("several gateways renew once", async () => {
    const gateways = [await open(), await open(), await open()];
    const later = new Date(Date.now() + 2 * DAY);
    const count = async () =>
      (
        await own.db
          .selectFrom("trust_metadata")
          .select("version")
          .where("role", "=", "timestamp")
          .execute()
      ).length;
    const before = await count();
    await Promise.all(gateways.map((each) => each.maintain(later)));
    expect(await count()).toBe(before + 1);
  });

  test("warns of what ends and is signed offline, once in a while, with how many vehicles", async () => {
    await own.db.insertInto("vehicle").values({ vin: "VMG-001" }).execute();
    await own.db.insertInto("vehicle_trust").values({ vin: "VMG-001", image_root: 1 }).execute();
    const trust = await open();
    lines.length = 0;
    const nearly = new Date(Date.now() + 10 * 365 * DAY - 20 * DAY);
    await trust.maintain(nearly);
    await trust.maintain(new Date(nearly.getTime() + 60_000));
    const warnings = lines.filter(({ level }) => level === 40);
    expect(warnings).toMatchObject([
      { repository: "director", role: "root", version: 1, vehicles: 0 },
      { repository: "image", role: "root", version: 1, vehicles: 1 },
    ]);
    const text = await metrics.registry.metrics();
    expect(text).toMatch(
      /latticeway_trust_expires_seconds\{repository="image",role="root"\} 17\d{5}/,
    );
  });
});

describe("uploads in development", () => {
  let gateway: TestGateway;
  beforeAll(async () => {
    gateway = await startGateway();
  });
  afterAll(() => gateway.close());

  const targets = async () => {
    const read = async (file: string) =>
      (await gateway.admin.send("GET", `/api/v1/uptane/image/${file}`)).bytes;
    const root = await readFile(join(gateway.config.certs_dir, "trust", "image.root.json"));
    const trusted = await runWorkflow(
      refresh(trustRoot(root, {}), { now: new Date() }),
      async (step) =>
        step.kind === "fetch" && !step.file.endsWith("2.root.json") ? read(step.file) : undefined,
    );
    return trusted.targets?.signed.targets ?? {};
  };

  test("that end at once are all named, under one chain of versions", async () => {
    const versions = Array.from({ length: 12 }, (_, index) => `1.${index}.0`);
    const uploads = versions.map((version) =>
      gateway.admin.send("POST", "/api/v1/firmware", {
        raw: uploadForm({ ecu_type: "brake", version, image: randomBytes(2000) }),
      }),
    );
    for (const { json } of await Promise.all(uploads)) {
      expect(json).toMatchObject({ publication: "published" });
    }
    expect(Object.keys(await targets()).sort()).toEqual(
      versions.map((version) => `brake/${version}.bin`).sort(),
    );
  });

  test("follow a change of what is signed of an image", async () => {
    const { firmware_id } = await publish(gateway.admin, { ecu_type: "lights", version: "1.0.0" });
    const body = { hardware_versions: ["HW-2.0", "HW-1.0"], min_current_version: "0.5.0" };
    const path = `/api/v1/firmware/${firmware_id}`;
    const patched = await gateway.admin.send("PATCH", path, { body });
    expect(patched.json).toMatchObject({ publication: "published" });
    expect((await targets())["lights/1.0.0.bin"]?.custom).toMatchObject({
      hardware_ids: ["lights:HW-1.0", "lights:HW-2.0"],
      min_current_version: "0.5.0",
    });
  });

  test("of a version that makes no release counter are refused, and leave nothing", async () => {
    for (const version of ["10000.0.0", "1.100000.0", "1.0.100000"]) {
      const raw = uploadForm({ ecu_type: "brake", version });
      const answer = await gateway.admin.send("POST", "/api/v1/firmware", { raw });
      expect(answer.json).toMatchObject({
        code: "REQUEST_INVALID",
        errors: [{ path: "form/version" }],
      });
    }
  });
});
