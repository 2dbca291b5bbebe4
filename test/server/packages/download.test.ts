import { createHash, randomBytes } from "node:crypto";
import { readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { publish, sampleVci } from "#test/helpers/fleet-data.ts";
import { startGateway, type Answer, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { openSocket, tlsAs } from "#test/server/raw-client.ts";
import { loadVehicleIdentity } from "#crypto/pki.ts";

const vin = "VMG-001";
let gateway: TestGateway;
let vehicle: Caller;
let blob: string;

beforeAll(async () => {
  gateway = await startGateway();
  vehicle = await gateway.vehicle(vin);
  await register(vin, vehicle);
});
afterAll(() => gateway.close());

async function register(id: string, caller: Caller): Promise<void> {
  await caller.send("POST", "/api/v1/vehicles/register", { body: { vin: id } });
}

const image = randomBytes(6_000_000);
let release = 0;
const blobPath = (sha256: string) =>
  join(gateway.config.data_dir, "blobs", sha256.slice(0, 2), sha256.slice(2));

interface Assigned {
  package_id: string;
  update_id: string;
  download_url: string;
  size: number;
  checksum: string;
}

async function ask(id = vin, caller = vehicle): Promise<Answer> {
  return caller.send("POST", "/api/v1/ota/package", { body: { vin: id } });
}

/** A package that no test has damaged yet. */
async function newPackage(): Promise<Assigned> {
  const { compressed_sha256 } = (await publish(gateway.admin, {
    ecu_type: "brake",
    version: `1.${++release}.0`,
    image: Buffer.concat([image, Buffer.from([release])]),
  })) as { compressed_sha256?: string };
  blob = blobPath(compressed_sha256 ?? "");
  await vehicle.send("POST", `/api/v1/vehicles/${vin}/vci`, { body: sampleVci() });
  const answer = await ask();
  expect(answer.status).toBe(200);
  return answer.json as Assigned;
}

const checksum = (bytes: Uint8Array) =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

describe("a package", () => {
  it("is assembled once for two that ask at once, and both get the same bytes", async () => {
    await newPackage();
    const vins = ["VMG-A", "VMG-B", "VMG-C"];
    const callers = await Promise.all(vins.map((id) => gateway.vehicle(id)));
    for (const [index, caller] of callers.entries()) {
      await register(vins[index] as string, caller);
      await caller.send("POST", `/api/v1/vehicles/${vins[index]}/vci`, {
        body: sampleVci({ ECU_001: "0.9.0" }),
      });
    }
    const answers = await Promise.all(
      callers.map((caller, index) => ask(vins[index] as string, caller)),
    );
    expect(new Set(answers.map(({ json }) => json.checksum)).size).toBe(1);
    const files = await Promise.all(
      callers.map((caller) => caller.send("GET", answers[0]?.json.download_url)),
    );
    for (const { bytes } of files) expect(checksum(bytes)).toBe(answers[0]?.json.checksum);
  });

  it("asked for by one vehicle several times at once is one update", async () => {
    await newPackage();
    const answers = await Promise.all(Array.from({ length: 6 }, () => ask()));
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
    expect(new Set(answers.map(({ json }) => json.update_id)).size).toBe(1);
  });

  it("asked for in different parts at once leaves one update open, and fails nobody", async () => {
    const other = await gateway.vehicle("VMG-PARTS");
    await register("VMG-PARTS", other);
    await publish(gateway.admin, { ecu_type: "lights", version: `2.${++release}.0` });
    await other.send("POST", "/api/v1/vehicles/VMG-PARTS/vci", { body: sampleVci() });
    const parts = [["ECU_001"], ["ECU_003"], ["ECU_001", "ECU_003"]];
    for (let round = 0; round < 10; round++) {
      const answers = await Promise.all(
        [...parts, ...parts].map((ecu_ids) =>
          other.send("POST", "/api/v1/ota/package", { body: { vin: "VMG-PARTS", ecu_ids } }),
        ),
      );
      expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200, 200, 200]);
      const { json } = await gateway.admin.send("GET", "/api/v1/updates?vin=VMG-PARTS&limit=500");
      const open = json.items.filter(
        (each: { completed_at: string | null }) => each.completed_at === null,
      );
      expect(open).toHaveLength(1);
      await gateway.admin.send("POST", `/api/v1/updates/${open[0].update_id}/cancel`);
    }
  });

  it("that holds an archived image is refused, also to who is in the middle of it", async () => {
    const { download_url, package_id } = await newPackage();
    const begun = await vehicle.send("GET", download_url, { headers: { range: "bytes=0-999" } });
    expect(begun.status).toBe(206);
    const { json } = await gateway.admin.send("GET", "/api/v1/firmware?ecu_type=brake&limit=1");
    await gateway.admin.send("POST", `/api/v1/firmware/${json.items[0].firmware_id}/archive`);
    const etag = String(begun.headers["etag"]);
    for (const headers of [
      {},
      { range: "bytes=1000-1999", "if-range": etag },
      { "if-none-match": etag },
    ]) {
      const refused = await vehicle.send("GET", download_url, { headers });
      expect(problemOf(refused)).toBe("PACKAGE_WITHDRAWN");
      expect(refused.json.detail).toContain(`brake 1.${release}.0`);
      expect(refused.headers["etag"]).toBeUndefined();
    }
    expect((await vehicle.send("HEAD", download_url)).status).toBe(410);
    // What is left is offered in its place, or nothing.
    const next = await ask();
    expect(next.json.package_id).not.toBe(package_id);
  });

  it("has the same bytes after a restart", async () => {
    const { download_url, checksum: expected } = await newPackage();
    const before = await vehicle.send("GET", download_url);
    await gateway.restart();
    const after = await vehicle.send("GET", download_url);
    expect(checksum(before.bytes)).toBe(expected);
    expect(after.bytes.equals(before.bytes)).toBe(true);
    expect(after.headers["etag"]).toBe(before.headers["etag"]);
    expect((await ask()).json.checksum).toBe(expected);
  });

  it("can be fetched in pieces at once, each the right one", async () => {
    const { download_url, size, checksum: expected } = await newPackage();
    const step = Math.ceil(size / 7);
    const pieces = await Promise.all(
      Array.from({ length: 7 }, (_, i) =>
        vehicle.send("GET", download_url, {
          headers: { range: `bytes=${i * step}-${Math.min((i + 1) * step, size) - 1}` },
        }),
      ),
    );
    expect(pieces.every(({ status }) => status === 206)).toBe(true);
    expect(checksum(Buffer.concat(pieces.map(({ bytes }) => bytes)))).toBe(expected);
  });

  it("that was cut is resumed to the same file, and the gateway forgets the cut one", async () => {
    const { download_url, checksum: expected } = await newPackage();
    const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
    const socket = await openSocket(gateway, "https", await tlsAs(gateway, identity));
    socket.write(`GET ${download_url} HTTP/1.1\r\nhost: localhost\r\n\r\n`);
    const received: Buffer[] = [];
    await new Promise<void>((enough) => {
      socket.on("data", (chunk: Buffer) => {
        received.push(chunk);
        if (Buffer.concat(received).length > 1_500_000) enough();
      });
    });
    socket.destroy();
    const got = Buffer.concat(received);
    const headEnd = got.indexOf("\r\n\r\n") + 4;
    const etag = /^etag: (.*)$/im.exec(got.subarray(0, headEnd).toString())?.[1]?.trim() ?? "";
    const part = got.subarray(headEnd);
    const rest = await vehicle.send("GET", download_url, {
      headers: { range: `bytes=${part.length}-`, "if-range": etag },
    });
    expect(rest.status).toBe(206);
    expect(checksum(Buffer.concat([part, rest.bytes]))).toBe(expected);
    await vi.waitFor(async () => {
      const health = await gateway.admin.send("GET", "/healthz");
      expect(health.json.in_flight.https).toBe(0);
    });
  });

  it("reaches a client that reads slowly, byte for byte", async () => {
    const { download_url, checksum: expected } = await newPackage();
    const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
    const socket = await openSocket(gateway, "https", await tlsAs(gateway, identity));
    socket.write(`GET ${download_url} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n`);
    const received: Buffer[] = [];
    for await (const chunk of socket as AsyncIterable<Buffer>) {
      received.push(Buffer.from(chunk));
      for (let turn = 0; turn < 20; turn++) await new Promise((next) => setImmediate(next));
    }
    const got = Buffer.concat(received);
    expect(checksum(got.subarray(got.indexOf("\r\n\r\n") + 4))).toBe(expected);
  });

  it("that was let lie too long is gone, until it is asked for again", async () => {
    const { download_url } = await newPackage();
    const { packages } = gateway.config;
    packages.ttl_h = 1e-9;
    await gateway.restart();
    expect((await ask()).status).toBe(200);
    const late = await vehicle.send("GET", download_url);
    expect([late.status, problemOf(late)]).toEqual([410, "PACKAGE_EXPIRED"]);
    packages.ttl_h = 1;
    await gateway.restart();
    expect(problemOf(await vehicle.send("GET", download_url))).toBe("PACKAGE_EXPIRED");
    await ask();
    expect((await vehicle.send("GET", download_url)).status).toBe(200);
  });

  it("is asked for with odd ranges, and never given a wrong byte for them", async () => {
    const { download_url, size } = await newPackage();
    const whole = (await vehicle.send("GET", download_url)).bytes;
    const get = (range: string) => vehicle.send("GET", download_url, { headers: { range } });
    for (const range of [
      "bytes=-100",
      `bytes=${size - 100}-`,
      `bytes=${size - 100}-${size + 999}`,
    ]) {
      const { status, bytes } = await get(range);
      expect([range, status, bytes.equals(whole.subarray(-100))]).toEqual([range, 206, true]);
    }
    for (const range of ["bytes=0-1,5-6", "bytes=a-b", "bytes=5-1", "lines=1-2", "bytes"]) {
      const { status, bytes } = await get(range);
      expect([range, status, bytes.equals(whole)]).toEqual([range, 200, true]);
    }
    for (const range of [`bytes=${size}-`, "bytes=-0", "bytes=99999999999999999999-"]) {
      const answer = await get(range);
      expect(problemOf(answer)).toBe("RANGE_NOT_SATISFIABLE");
      expect(answer.headers["content-range"]).toBe(`bytes */${size}`);
      expect(answer.headers["etag"]).toBeUndefined();
      expect(answer.headers["content-disposition"]).toBeUndefined();
    }
  });

  it("is sent only to whom it is news, and only if it is the one that is asked about", async () => {
    const { download_url, checksum: expected } = await newPackage();
    const etag = `"${expected.slice("sha256:".length)}"`;
    const ask = async (method: string, headers: Record<string, string>) =>
      vehicle.send(method, download_url, { headers });
    for (const method of ["GET", "HEAD"]) {
      const known = await ask(method, {
        "if-none-match": `"other", W/${etag}`,
        range: "bytes=0-9",
      });
      expect([known.status, known.headers["etag"], known.bytes.length]).toEqual([304, etag, 0]);
      const other = await ask(method, { "if-match": '"other"', "if-none-match": "*" });
      expect([other.status, other.headers["etag"]]).toEqual([412, undefined]);
    }
    expect(problemOf(await ask("GET", { "if-match": '"other"' }))).toBe("PRECONDITION_FAILED");
    const part = await ask("GET", { "if-match": etag, range: "bytes=0-9" });
    expect([part.status, part.bytes.length]).toEqual([206, 10]);
  });
});

describe("a package whose blob changed on the disk", () => {
  const changes: Record<string, () => void> = {
    "one bit of it, times put back": () => {
      const { atime, mtime } = statSync(blob);
      const bytes = readFileSync(blob);
      bytes[5000] = (bytes[5000] ?? 0) ^ 1;
      writeFileSync(blob, bytes);
      utimesSync(blob, atime, mtime);
    },
    "cut short": () => truncateSync(blob, 100_000),
    removed: () => rmSync(blob),
  };
  let assigned: Assigned;
  beforeEach(async () => {
    assigned = await newPackage();
  });

  it.each(Object.entries(changes))(
    "%s is not sent, whole or in part, before or after a restart",
    async (_, change) => {
      expect((await vehicle.send("GET", assigned.download_url)).status).toBe(200);
      change();
      const start = assigned.size - 2000;
      for (const range of [undefined, "bytes=0-99", `bytes=${start}-`]) {
        const answer = await vehicle.send("GET", assigned.download_url, {
          headers: range === undefined ? {} : { range },
        });
        expect([answer.status, problemOf(answer)]).toEqual([500, "BLOB_CORRUPT"]);
        expect(answer.headers["etag"]).toBeUndefined();
        expect(answer.headers["cache-control"]).toBeUndefined();
      }
      await gateway.restart();
      expect(problemOf(await vehicle.send("GET", assigned.download_url))).toBe("BLOB_CORRUPT");
    },
  );

  it("is not assembled for another plan either", async () => {
    changes["cut short"]?.();
    const other = await gateway.vehicle("VMG-D");
    await register("VMG-D", other);
    const { ecus } = sampleVci();
    const vci = { zones: [{ zone_id: "ZG-FRONT" }], ecus: [{ ...ecus[0], ecu_id: "ECU_777" }] };
    await other.send("POST", "/api/v1/vehicles/VMG-D/vci", { body: vci });
    expect(problemOf(await ask("VMG-D", other))).toBe("BLOB_CORRUPT");
  });

  it("is sent again once the image is uploaded again", async () => {
    changes["cut short"]?.();
    expect(problemOf(await vehicle.send("GET", assigned.download_url))).toBe("BLOB_CORRUPT");
    await publish(gateway.admin, {
      ecu_type: "other",
      version: `1.${release}.0`,
      image: Buffer.concat([image, Buffer.from([release])]),
    });
    const { bytes } = await vehicle.send("GET", assigned.download_url);
    expect(checksum(bytes)).toBe(assigned.checksum);
  });
});
