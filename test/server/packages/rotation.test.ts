import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import type { PackageAnswer } from "#protocol/api/ota.ts";
import { openPackage } from "#protocol/package/reader.ts";
import { parseMetadata } from "#protocol/uptane/metadata.ts";
import { publish } from "#test/helpers/fleet-data.ts";
import type { Caller, TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { startProduction, type Production } from "#test/server/trust/production.ts";
import { submitSigned } from "#test/server/trust/vehicle-client.ts";

let production: Production;
let gateway: TestGateway;

beforeAll(async () => {
  ({ gateway, ...production } = await startProduction());
  const { ceremony } = production;
  await publish(gateway.admin, { ecu_type: "brake", version: "1.2.3" });
  await ceremony.run("add-target");
  await ceremony.run("sign");
  await ceremony.run("publish");
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await gateway.close();
  await production.remove();
});

interface Vehicle extends Caller {
  vin: string;
}

async function newVehicle(vin: string): Promise<Vehicle> {
  const vehicle = await gateway.vehicle(vin);
  await submitSigned({ gateway, vehicle, vin });
  return { ...vehicle, vin };
}

async function ask({ send, vin }: Vehicle): Promise<PackageAnswer> {
  const answer = await send("POST", "/api/v1/ota/package", { body: { vin } });
  expect(answer.status).toBe(200);
  return answer.json as PackageAnswer;
}

/** New keys for the director's targets, which sign packages; nothing else changes. */
async function rotate(version: number): Promise<void> {
  const { ceremony } = production;
  const body = { repository: "director", role: "targets" };
  const { json } = await gateway.admin.send("POST", "/api/v1/uptane/keys/rotate", { body });
  const file = join(ceremony.folder, `keys-${version}.json`);
  await writeFile(file, JSON.stringify(json));
  const role = ["--role", "targets", "--online-keys", file];
  await ceremony.run("rotate", "--repository", "director", ...role);
  await ceremony.run("sign");
  await ceremony.run("publish");
}

/** Throws unless the keys of this root's targets have signed the package. */
async function verify(bytes: Buffer, rootVersion: number): Promise<void> {
  const file = production.ceremony.file("director", `${rootVersion}.root.json`);
  const root = parseMetadata("root", await readFile(file));
  const { keyids } = root.signed.roles.targets;
  const keys = new Map([...root.keys].filter(([id]) => keyids.includes(id)));
  const opened = await openPackage(Readable.from([bytes]), { keys });
  for await (const { content } of opened.entries) for await (const _ of content);
}

const checksum = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

test("a download that was begun before a rotation ends with the bytes that it began with", async () => {
  const before = await newVehicle("VMG-BEFORE");
  const old = await ask(before);
  const head = await before.send("GET", old.download_url, { headers: { range: "bytes=0-99" } });
  expect(head.status).toBe(206);

  await rotate(2);
  const after = await newVehicle("VMG-AFTER");
  const fresh = await ask(after);
  expect(fresh.package_id).toBe(old.package_id);
  expect(fresh.checksum).not.toBe(old.checksum);

  const resume = { range: "bytes=100-", "if-range": String(head.headers["etag"]) };
  const rest = await before.send("GET", old.download_url, { headers: resume });
  expect(rest.status).toBe(206);
  const whole = Buffer.concat([head.bytes, rest.bytes]);
  expect([whole.length, checksum(whole)]).toEqual([old.size, old.checksum]);
  await verify(whole, 1);

  const { bytes } = await after.send("GET", fresh.download_url);
  expect([bytes.length, checksum(bytes)]).toEqual([fresh.size, fresh.checksum]);
  await verify(bytes, 2);
  await expect(verify(bytes, 1)).rejects.toMatchObject({ code: "PACKAGE_SIGNATURE_MISSING" });

  // Who asks again is told of the newest, and sent that.
  expect((await ask(before)).checksum).toBe(fresh.checksum);
  expect((await before.send("GET", old.download_url)).bytes.equals(bytes)).toBe(true);
});

test("so it is over two rotations, for as long as the package may be downloaded", async () => {
  const vehicles = [
    await newVehicle("VMG-R2"),
    await newVehicle("VMG-R3"),
    await newVehicle("VMG-R4"),
  ];
  const answers: PackageAnswer[] = [];
  for (const [index, vehicle] of vehicles.entries()) {
    if (index > 0) await rotate(2 + index);
    answers.push(await ask(vehicle));
  }
  for (const [index, vehicle] of vehicles.entries()) {
    const answer = answers[index];
    const { bytes } = await vehicle.send("GET", answer?.download_url ?? "");
    expect(checksum(bytes)).toBe(answer?.checksum);
    await verify(bytes, 2 + index);
  }
  const stranger = await newVehicle("VMG-STRANGER");
  const url = answers[0]?.download_url ?? "";
  expect(problemOf(await stranger.send("GET", url))).toBe("PACKAGE_NOT_ASSIGNED");
});
