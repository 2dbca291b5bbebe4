import { readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { encryptKeyStore, openKeyStore } from "#crypto/key-store.ts";
import type { OnlineKeys } from "#protocol/api/trust.ts";
import { buildTargets } from "#protocol/uptane/build.ts";
import { keyId } from "#protocol/uptane/key.ts";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { signMetadata } from "#protocol/uptane/sign.ts";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import type { Caller, TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { newProduction, PASSPHRASE, startProduction, type Production } from "./production.ts";
import { submitSigned, verifyAs } from "./vehicle-client.ts";

const DAY = 86_400_000;

describe("a gateway in production", () => {
  test("does not start without passphrase, nor without roots, and says where its keys are", async () => {
    const production = await newProduction();
    const { refusal, config } = production;
    expect(await refusal({ passphrase: "" })).toBe("TRUST_PASSPHRASE_MISSING");
    const trust = join(config.certs_dir, "trust");
    expect(await refusal()).toBe("TRUST_ROOT_MISSING");
    const offered = await readFile(join(trust, "online-keys.json"), "utf8");
    expect(await refusal()).toBe("TRUST_ROOT_MISSING");
    expect(await readFile(join(trust, "online-keys.json"), "utf8")).toBe(offered);
    const files = await readdir(join(trust, "online"));
    expect(files).toHaveLength(10);
    for (const name of files) {
      const file = join(trust, "online", name);
      expect((await stat(file)).mode & 0o777).toBe(0o600);
      expect(await readFile(file, "utf8")).not.toContain("PRIVATE KEY");
    }
    expect(await readdir(trust)).not.toContain("offline");
    expect(await refusal({ passphrase: "incorrect horse" })).toBe("KEY_STORE_PASSPHRASE_WRONG");
    expect(await refusal({ passphrase: "wrong" })).toBe("KEY_STORE_PASSPHRASE_TOO_SHORT");
    await production.remove();
  });

  test("does not start without certificates for TLS, and makes none", async () => {
    const production = await newProduction();
    const { certs_dir } = production.config;
    await rm(certs_dir, { recursive: true });
    expect(await production.refusal()).toBe("PKI_MISSING");
    await expect(readdir(certs_dir)).rejects.toMatchObject({ code: "ENOENT" });
    await production.remove();
  });

  test("does not start where a development gateway has kept release keys", async () => {
    const production = await newProduction();
    expect(await production.refusal({ mode: "development" })).toBe("started");
    expect(await production.refusal()).toBe("TRUST_DEVELOPMENT_KEYS");
    await production.remove();
  });

  test("does not start on signing keys that lie there in the clear", async () => {
    const production = await newProduction();
    const folder = join(production.config.certs_dir, "trust", "online");
    await (await openKeyStore(folder, undefined)).make("ecdsa-p256");
    expect(await production.refusal()).toBe("KEY_STORE_FILE_PLAIN");
    await encryptKeyStore(folder, PASSPHRASE);
    expect(await production.refusal()).toBe("TRUST_ROOT_MISSING");
    await production.remove();
  });

  test("does not start under roots whose keys it lacks, or of another database", async () => {
    const [one, other] = [await startProduction(), await newProduction()];
    await one.gateway.close();
    expect(await other.refusal()).toBe("TRUST_ROOT_MISSING");
    const root = (of: Production) => join(of.config.certs_dir, "trust", "director.root.json");
    await writeFile(root(other), await readFile(root(one)));
    expect(await other.refusal()).toBe("TRUST_KEY_MISSING");
    const cut = (await readFile(root(one), "utf8")).replace(
      '"signatures":[{',
      '"signatures":[],"x":[{',
    );
    await writeFile(root(other), cut);
    expect(await other.refusal()).toBe("UPTANE_SIGNATURE_MISSING");
    await writeFile(root(one), `${await readFile(root(one), "utf8")}\n`);
    expect(await one.refusal()).toBe("TRUST_ROOT_MISMATCH");
    await Promise.all([one.remove(), other.remove()]);
    vi.unstubAllEnvs();
  });
});

describe("from upload to vehicle", () => {
  let production: Production;
  let gateway: TestGateway;
  let vehicle: Caller;
  const vin = "VMG-PROD";
  const about = () => ({ gateway, vehicle, vin });

  beforeAll(async () => {
    ({ gateway, ...production } = await startProduction());
    vehicle = await gateway.vehicle(vin);
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    await gateway.close();
    await production.remove();
  });

  const outdated = async () => {
    await submitSigned(about());
    const body = { vin, ecus: sampleVci().ecus };
    const answer = await vehicle.send("POST", "/api/v1/ota/check", { body });
    return (answer.json.outdated_ecus as { ecu_id: string }[]).map(({ ecu_id }) => ecu_id);
  };
  const waiting = async (publication: string) =>
    (await gateway.admin.send("GET", `/api/v1/firmware?publication=${publication}`)).json.items as {
      version: string;
      publication: string;
    }[];
  const metric = async (repository: string, role: string) => {
    const text = (await gateway.admin.send("GET", "/metrics")).bytes.toString();
    const name = `latticeway_trust_expires_seconds{repository="${repository}",role="${role}"} `;
    return Number(
      text
        .split("\n")
        .find((line) => line.startsWith(name))
        ?.slice(name.length),
    );
  };

  test("nothing is served of the image repository before its targets are published", async () => {
    const file = "/api/v1/uptane/image/timestamp.json";
    expect(problemOf(await gateway.admin.send("GET", file))).toBe("METADATA_UNKNOWN");
    expect(await production.ceremony.run("publish")).toContain("image targets 1: published");
    expect((await gateway.admin.send("GET", file)).status).toBe(200);
  });

  test("an upload waits, and no vehicle is offered it", async () => {
    const image = Buffer.from("brake 1.2.3");
    const upload = await publish(gateway.admin, { ecu_type: "brake", version: "1.2.3", image });
    expect(upload).toMatchObject({ publication: "awaiting_signature" });
    expect(await outdated()).toEqual([]);
    expect(await waiting("published")).toEqual([]);
    expect(await waiting("awaiting_signature")).toHaveLength(1);
    const pending = await gateway.admin.send("GET", "/api/v1/uptane/pending");
    expect(pending.json).toEqual([
      {
        path: "brake/1.2.3.bin",
        length: image.length,
        hashes: expect.objectContaining({ sha256: upload.sha256 }) as unknown,
        custom: {
          ecu_type: "brake",
          hardware_ids: ["brake:HW-1.0"],
          version: "1.2.3",
          release_counter: 10_000_200_003,
        },
      },
    ]);
  });

  test("what is signed and published is offered, and verified by the vehicle", async () => {
    const { ceremony } = production;
    await ceremony.run("add-target");
    await ceremony.run("sign");
    expect(await ceremony.run("publish")).toContain("image targets 2: published");
    expect(await waiting("published")).toMatchObject([{ publication: "published" }]);
    expect((await gateway.admin.send("GET", "/api/v1/uptane/pending")).json).toEqual([]);
    expect(await outdated()).toEqual(["ECU_001"]);
    await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    const { assignments } = await verifyAs(about());
    expect(assignments).toMatchObject([{ path: "brake/1.2.3.bin", signedBy: "targets" }]);
  });

  test("an image that is changed after it was signed waits again, until it is as it was", async () => {
    const [{ firmware_id } = { firmware_id: "" }] = (await waiting("published")) as never[] as {
      firmware_id: string;
    }[];
    const patch = async (hardware_versions: string[]) =>
      (
        await gateway.admin.send("PATCH", `/api/v1/firmware/${firmware_id}`, {
          body: { hardware_versions },
        })
      ).json as { publication: string };
    expect((await patch(["HW-1.0", "HW-2.0"])).publication).toBe("awaiting_signature");
    expect(await outdated()).toEqual([]);
    expect((await patch(["HW-1.0"])).publication).toBe("published");
    expect(await outdated()).toEqual(["ECU_001"]);
  });

  test("a supplier's image is published by the supplier's targets, once all of it is there", async () => {
    const { ceremony } = production;
    await publish(gateway.admin, { ecu_type: "steering", version: "2.0.0" });
    const [keys, pem] = [join(ceremony.folder, "supplier"), join(ceremony.folder, "supplier.pub")];
    await ceremony.run("make-keys", "--keys", keys, "--out", pem);
    await ceremony.run(
      "add-key",
      ...[
        "--repository",
        "image",
        "--role",
        "supplier-a",
        "--public",
        pem,
        "--paths",
        "steering/*",
      ],
    );
    await ceremony.run("sign");
    const [first] = (await ceremony.names("image")).filter((name) => name === "3.targets.json");
    const before = (await gateway.admin.send("GET", "/api/v1/uptane/image/timestamp.json")).bytes;
    const answer = await gateway.admin.send("POST", "/api/v1/uptane/image/metadata", {
      raw: { type: "application/json", body: await readFile(ceremony.file("image", first ?? "")) },
    });
    expect(answer.json).toMatchObject({ live: false, waiting_for: ["supplier-a"] });
    const served = await gateway.admin.send("GET", "/api/v1/uptane/image/timestamp.json");
    expect(served.bytes).toEqual(before);
    const reasonFor = async (expires: Date, folder: string) => {
      const { list } = await openKeyStore(folder, PASSPHRASE);
      const body = await signMetadata(
        buildTargets({ version: 9, expires }, { targets: {} }),
        list(),
      );
      const path = "/api/v1/uptane/image/metadata?role=supplier-a";
      const raw = { type: "application/json", body };
      return (await gateway.admin.send("POST", path, { raw })).json.reason as string;
    };
    const [past, ahead] = [new Date(Date.now() - DAY), new Date(Date.now() + DAY)];
    expect(await reasonFor(ahead, ceremony.file("keys"))).toBe("UPTANE_SIGNATURE_MISSING");
    expect(await reasonFor(past, keys)).toBe("UPTANE_EXPIRED");
    await ceremony.run("add-target", "--role", "supplier-a", "steering/2.0.0.bin");
    await ceremony.run("sign", "--keys", keys);
    expect(await ceremony.run("publish")).toMatch(/image supplier-a \d: published/);
    expect(await waiting("awaiting_signature")).toEqual([]);
    expect(await outdated()).toEqual(["ECU_001", "ECU_002"]);
    await vehicle.send("POST", "/api/v1/ota/package", { body: { vin } });
    const { assignments } = await verifyAs(about());
    expect(assignments.map(({ signedBy }) => signedBy).sort()).toEqual(["supplier-a", "targets"]);
  });

  test("an online key is replaced without a stop, and parked vehicles go on", async () => {
    const { ceremony } = production;
    const before = await verifyAs(about());
    const keys = (await gateway.admin.send("GET", "/api/v1/uptane/keys")).json as OnlineKeys;
    const rotated = await gateway.admin.send("POST", "/api/v1/uptane/keys/rotate", {
      body: { repository: "director", role: "targets" },
    });
    expect(rotated.status).toBe(201);
    const next = rotated.json as OnlineKeys;
    expect(next.director.targets).toHaveLength(2);
    expect(next.director.targets.map(keyId)).not.toEqual(keys.director.targets.map(keyId));
    expect(next.image).toEqual(keys.image);
    // Nothing signs with them yet.
    expect((await verifyAs(about())).state.director.targets?.bytes).toEqual(
      before.state.director.targets?.bytes,
    );
    const file = join(ceremony.folder, "next-keys.json");
    await writeFile(file, JSON.stringify(next));
    await ceremony.run("rotate", "--repository", "director", "--online-keys", file);
    await ceremony.run("sign");
    const root = await readFile(ceremony.file("director", "2.root.json"));
    const rehearsal = await gateway.admin.send("POST", "/api/v1/uptane/director/rehearsal", {
      raw: { type: "application/json", body: root },
    });
    expect(rehearsal.json).toEqual({
      goes_on: 1,
      waits: 0,
      stranded: 0,
      unknown: 0,
      roots: [{ root_version: 1, vehicles: 1, outcome: "goes_on" }],
    });
    await ceremony.run("publish");
    const after = await verifyAs(about(), { state: before.state });
    const targets = parseMetadata("targets", after.state.director.targets?.bytes ?? Buffer.of());
    expect(targets.signatures.map(({ keyid }) => keyid).sort()).toEqual(
      next.director.targets.map(keyId).sort(),
    );
    expect(after.state.director.root.signed.version).toBe(2);
    // The next time it asks, the gateway knows what the vehicle holds.
    await verifyAs(about(), { state: after.state });
    const status = await gateway.admin.send("GET", "/api/v1/uptane/status");
    expect(status.json.director.vehicles).toEqual([{ root_version: 2, vehicles: 1 }]);
    expect(status.json).toMatchObject({ mode: "production", awaiting_signature: 0 });
  });

  test("a root that strands vehicles is found out before it is published", async () => {
    const rehearse = (body: Buffer | string) =>
      gateway.admin.send("POST", "/api/v1/uptane/director/rehearsal", {
        raw: { type: "application/json", body },
      });
    const published = await readFile(production.ceremony.file("director", "2.root.json"), "utf8");
    expect((await rehearse(published)).json.reason).toBe("UPTANE_ROOT_ROLLBACK");
    const withVersion = (version: number) => {
      const root = JSON.parse(published) as { signed: { version: number } };
      root.signed.version = version;
      return JSON.stringify(root);
    };
    expect((await rehearse(withVersion(4))).json.reason).toBe("UPTANE_ROOT_SKIPPED");
    expect((await rehearse(withVersion(3))).json).toMatchObject({
      goes_on: 0,
      stranded: 1,
      roots: [{ root_version: 2, code: "UPTANE_SIGNATURE_INVALID" }],
    });
    expect((await rehearse("{}")).json.reason).toBe("UPTANE_METADATA_MALFORMED");
  });

  test("what is archived before it is signed waits no more", async () => {
    const upload = await publish(gateway.admin, { ecu_type: "brake", version: "9.9.9" });
    const awaited = async () => {
      const { json } = await gateway.admin.send("GET", "/api/v1/uptane/status");
      const pending = await gateway.admin.send("GET", "/api/v1/uptane/pending");
      return [json.awaiting_signature, (pending.json as unknown[]).length];
    };
    expect(await awaited()).toEqual([1, 1]);
    await gateway.admin.send("DELETE", `/api/v1/firmware/${upload.firmware_id}`);
    expect(await awaited()).toEqual([0, 0]);
  });

  test("what ends when is a metric", async () => {
    await expect.poll(() => metric("director", "root"), { timeout: 30_000 }).toBeGreaterThan(0);
    expect(await metric("image", "targets")).toBeGreaterThan(86_400);
    expect(await metric("image", "timestamp")).toBeLessThanOrEqual(86_400);
  });
});
