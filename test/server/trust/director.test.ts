import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { authorityFiles } from "#crypto/pki-layout.ts";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { startGateway, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { firstRoots, submitSigned, verifyAs, type Fetched } from "./vehicle-client.ts";
import { trust } from "#test/cli/run-trust.ts";

let gateway: TestGateway;
let vehicle: Caller;
let vin: string;
let vehicles = 0;

beforeAll(async () => {
  gateway = await startGateway();
  await publish(gateway.admin, {
    ecu_type: "brake",
    version: "1.2.3",
    image: Buffer.from("brake"),
  });
  await publish(gateway.admin, { ecu_type: "lights", version: "2.0.0" });
});
afterAll(() => gateway.close());
beforeEach(async () => {
  vin = `VMG-${++vehicles}`.padEnd(8, "0");
  vehicle = await gateway.vehicle(vin);
});

const about = () => ({ gateway, vehicle, vin });
const timestamp = async () => vehicle.send("GET", "/api/v1/uptane/director/timestamp.json");
const askForPackage = async (ecu_ids?: string[]) =>
  (await vehicle.send("POST", "/api/v1/ota/package", { body: { vin, ecu_ids } })).json as {
    package_id: string;
    update_id: string;
  };

describe("the director", () => {
  test("assigns nothing before there is an update, bound to vehicle and nonce", async () => {
    const nonce = await submitSigned(about());
    const { state, assignments } = await verifyAs(about(), { nonce });
    expect(assignments).toEqual([]);
    expect(state.director.targets?.signed.custom).toEqual({ vin, nonce });
  });

  test("assigns what the package holds, and the image repository agrees", async () => {
    const nonce = await submitSigned(about());
    const { package_id } = await askForPackage();
    const { assignments } = await verifyAs(about(), { nonce });
    const firmware = await gateway.admin.send("GET", "/api/v1/firmware?ecu_type=brake");
    const [brake] = firmware.json.items as { compressed_sha256: string; compressed_size: number }[];
    const brakes = assignments.find(({ ecu }) => ecu.ecu_id === "ECU_001");
    expect(assignments.map(({ path }) => path)).toEqual(["brake/1.2.3.bin", "lights/2.0.0.bin"]);
    expect(brakes).toMatchObject({
      signedBy: "targets",
      file: { length: 5 },
      ecu: {
        hardware_id: "brake:HW-1.0",
        release_counter: 10_000_200_003,
        zone_id: "ZG-FRONT",
        install_order: 0,
        package: {
          id: package_id,
          path: "zones/ZG-FRONT/ECU_001-1.2.3.bin.zst",
          encoding: "zstd",
          sha256: brake?.compressed_sha256,
          length: brake?.compressed_size,
        },
      },
    });
    expect(Object.keys(brakes?.file.hashes ?? {}).sort()).toEqual(["sha256", "sha512"]);
  });

  test("names an image once for several ECUs that install it", async () => {
    const vci = sampleVci();
    vci.ecus = vci.ecus.map((ecu) => ({ ...ecu, ecu_type: "brake" }));
    await submitSigned(about(), vci);
    await askForPackage();
    const { state, assignments } = await verifyAs(about(), { vci });
    expect(assignments.map(({ ecu }) => ecu.ecu_id)).toEqual(["ECU_001", "ECU_002", "ECU_003"]);
    expect(Object.keys(state.director.targets?.signed.targets ?? {})).toEqual(["brake/1.2.3.bin"]);
  });

  test("signs anew only when something else is wanted, under a higher version", async () => {
    await submitSigned(about());
    const first = (await timestamp()).bytes;
    expect((await timestamp()).bytes).toEqual(first);
    const { update_id } = await askForPackage();
    const versions = [parseMetadata("timestamp", first).signed.version];
    const changes = [
      () => Promise.resolve(),
      () => submitSigned(about()),
      () => gateway.admin.send("POST", `/api/v1/updates/${update_id}/cancel`),
    ];
    for (const change of changes) {
      await change();
      const { bytes } = await timestamp();
      expect((await timestamp()).bytes).toEqual(bytes);
      versions.push(parseMetadata("timestamp", bytes).signed.version);
    }
    expect(new Set(versions).size).toBe(4);
    expect(versions).toEqual(versions.toSorted((a, b) => a - b));
    expect((await verifyAs(about())).assignments).toEqual([]);
  });

  test("goes on from what the vehicle has trusted before", async () => {
    const nonce = await submitSigned(about());
    const { state } = await verifyAs(about(), { nonce });
    await askForPackage(["ECU_001"]);
    const fetched: Fetched[] = [];
    const next = await verifyAs(about(), { state, nonce, fetched });
    expect(next.assignments).toHaveLength(1);
    // The image repository has not changed: nothing of it but the two files that say so.
    expect(fetched.map(({ path, status }) => `${status} ${basename(path)}`)).toEqual([
      "404 2.root.json",
      "200 timestamp.json",
      expect.stringMatching(/^200 \d+\.snapshot\.json$/),
      expect.stringMatching(/^200 \d+\.targets\.json$/),
      "404 2.root.json",
      "200 timestamp.json",
    ]);
  });

  test("issues once for requests that come together", async () => {
    await submitSigned(about());
    const answers = await Promise.all(Array.from({ length: 12 }, timestamp));
    expect(new Set(answers.map(({ bytes }) => bytes.toString())).size).toBe(1);
    expect(answers.every(({ status }) => status === 200)).toBe(true);
  });

  test("keeps what a vehicle may be in the middle of reading, and no more", async () => {
    await submitSigned(about());
    const files: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { version } = parseMetadata("timestamp", (await timestamp()).bytes).signed;
      files.push(`/api/v1/uptane/director/${version}.targets.json`);
      await submitSigned(about());
    }
    const [oldest = "", ...kept] = files;
    expect((await vehicle.send("GET", oldest)).status).toBe(200);
    await timestamp();
    expect(problemOf(await vehicle.send("GET", oldest))).toBe("METADATA_UNKNOWN");
    expect((await vehicle.send("GET", kept[0] ?? "")).status).toBe(200);
  });

  test("says nothing of one vehicle to another, or to nobody", async () => {
    await submitSigned(about());
    await timestamp();
    const stranger = await gateway.vehicle("VMG-STRANGER");
    const path = `/api/v1/uptane/director/${vin}/timestamp.json`;
    expect(problemOf(await stranger.send("GET", path))).toBe("VEHICLE_MISMATCH");
    expect((await vehicle.send("GET", path)).bytes).toEqual((await timestamp()).bytes);
    expect((await gateway.admin.send("GET", path)).bytes).toEqual((await timestamp()).bytes);
    const nobody = gateway.operator("");
    for (const file of [path, "/api/v1/uptane/image/timestamp.json"]) {
      expect(problemOf(await nobody.send("GET", file))).toBe("CLIENT_CERTIFICATE_REQUIRED");
    }
    const unknown = await stranger.send("GET", "/api/v1/uptane/director/timestamp.json");
    expect(problemOf(unknown)).toBe("VEHICLE_NOT_REGISTERED");
  });

  test.each([
    "timestamp",
    "0.root.json",
    "1.timestamp.json",
    "01.root.json",
    "9.root.json",
    "1.a%0Ab.json",
    "x.json",
  ])("has no %s", async (file) => {
    await submitSigned(about());
    for (const repository of ["director", "image"]) {
      const answer = await vehicle.send("GET", `/api/v1/uptane/${repository}/${file}`);
      expect(problemOf(answer)).toBe("METADATA_UNKNOWN");
    }
  });

  test("takes note of the root that a vehicle holds, and of none that was never served", async () => {
    await submitSigned(about());
    for (const repository of ["director", "image"]) {
      for (const version of [2, 3, 900_000_000_000_000]) {
        await vehicle.send("GET", `/api/v1/uptane/${repository}/${version}.root.json`);
      }
    }
    const { json } = await gateway.admin.send("GET", "/api/v1/uptane/status");
    for (const { vehicles: counts } of [json.director, json.image]) {
      const versions = (counts as { root_version: number | null }[]).map(
        (each) => each.root_version,
      );
      expect(versions.filter((version) => version !== null)).toEqual([1]);
    }
  });

  test("lets caches keep what has a number, and ask again for what has none", async () => {
    await submitSigned(about());
    const fetched: Fetched[] = [];
    await verifyAs(about(), { fetched });
    for (const { path, status } of fetched) {
      if (status !== 200) continue;
      const { headers } = await vehicle.send("GET", path);
      const isFixed = !path.endsWith("/timestamp.json");
      expect(String(headers["cache-control"]).includes("immutable")).toBe(isFixed);
      const again = { headers: { "if-none-match": String(headers["etag"]) } };
      expect((await vehicle.send("GET", path, again)).status).toBe(304);
    }
  });

  test("is verified by `latticeway trust verify`, and for no other vehicle", async () => {
    const nonce = await submitSigned(about());
    await askForPackage(["ECU_001"]);
    const fetched: Fetched[] = [];
    await verifyAs(about(), { nonce, fetched });
    const folder = testFolder();
    const roots = await firstRoots(gateway);
    for (const repository of ["director", "image"] as const) {
      await mkdir(join(folder, repository));
      await writeFile(join(folder, repository, "1.root.json"), roots[repository]);
    }
    for (const { path, status, bytes } of fetched) {
      const [, , , , repository = "", file = ""] = path.split("/");
      if (status === 200) await writeFile(join(folder, repository, file), bytes);
    }
    const [director, image] = [join(folder, "director"), join(folder, "image")];
    const args = ["verify", "--director", director, "--image", image, "--expect-update"];
    args.push("--root", join(director, "1.root.json"), join(image, "1.root.json"));
    args.push("--ecu-id", "ECU_001", "--hardware-id", "brake:HW-1.0", "--nonce", nonce);
    expect(await trust(...args, "--vin", vin)).toMatchObject({ code: "ok", errors: "" });
    expect((await trust(...args, "--vin", "VMG-999")).code).toBe("UPTANE_VIN_MISMATCH");

    const served = `${gateway.url}/api/v1/uptane`;
    const there = args.with(2, `${served}/director/${vin}`).with(4, `${served}/image`);
    vi.stubEnv("LATTICEWAY_URL", gateway.url);
    vi.stubEnv("LATTICEWAY_TOKEN", (await readFile(gateway.app.tokenFile, "utf8")).trim());
    vi.stubEnv(
      "LATTICEWAY_CA",
      authorityFiles(gateway.config.certs_dir, "server", "ecdsa-p256", "root").certificate,
    );
    expect(await trust(...there, "--vin", vin)).toMatchObject({ code: "ok", errors: "" });
    vi.stubEnv("LATTICEWAY_URL", "https://localhost:1");
    expect((await trust(...there, "--vin", vin)).code).toBe("SOURCE_UNREACHABLE");
    vi.unstubAllEnvs();
  });
});
