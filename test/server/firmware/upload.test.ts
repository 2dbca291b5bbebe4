import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { publish, sampleVci, uploadForm, type Upload } from "#test/helpers/fleet-data.ts";
import { startGateway, type Answer, type Caller, type TestGateway } from "#test/helpers/gateway.ts";
import { requirePeer } from "#test/helpers/optional.ts";
import { problemOf } from "#test/server/problem-of.ts";
import { openSocket, tlsAs } from "#test/server/raw-client.ts";

const MAX_SIZE = 12 * 1024 * 1024;
let gateway: TestGateway;
let counter = 0;

beforeAll(async () => {
  gateway = await startGateway({ firmware: { max_size: MAX_SIZE, compression_level: 3 } });
});
afterAll(() => gateway.close());

/** An ECU type that no other test uses. */
let ecu_type: string;
beforeEach(() => {
  ecu_type = `type-${++counter}`;
});

const upload = (form: Upload): Promise<Answer> =>
  gateway.admin.send("POST", "/api/v1/firmware", { raw: uploadForm(form) });
const published = async (type = ecu_type) =>
  (await gateway.admin.send("GET", `/api/v1/firmware?ecu_type=${type}`)).json.items as unknown[];
const blobs = () => join(gateway.config.data_dir, "blobs");
const staged = () => readdirSync(join(blobs(), "staging"));
const stored = () =>
  readdirSync(blobs(), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.parentPath.endsWith("staging"))
    .map((entry) => join(entry.parentPath, entry.name));
const blobPath = (sha256: string) => join(blobs(), sha256.slice(0, 2), sha256.slice(2));
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A form with these very parts. */
function form(parts: { name: string; value: string | Buffer; filename?: string; type?: string }[]) {
  const boundary = `form-${randomBytes(8).toString("hex")}`;
  const body = parts.flatMap(({ name, value, filename, type }) => [
    `--${boundary}\r\nContent-Disposition: form-data; name="${name}"`,
    filename === undefined ? "" : `; filename="${filename}"`,
    type === undefined ? "" : `\r\nContent-Type: ${type}`,
    "\r\n\r\n",
    value,
    "\r\n",
  ]);
  return {
    type: `multipart/form-data; boundary=${boundary}`,
    body: Buffer.concat([...body, `--${boundary}--\r\n`].map((part) => Buffer.from(part))),
  };
}

const send = (raw: { type: string; body: Buffer | string | Readable }) =>
  gateway.admin.send("POST", "/api/v1/firmware", { raw });

const fields = () => [
  { name: "ecu_type", value: ecu_type },
  { name: "version", value: "1.0.0" },
  { name: "hardware_versions", value: "HW-1.0,HW-2.0" },
  { name: "channel", value: "stable" },
];
const file = { name: "file", filename: "image.bin", value: randomBytes(1000) };

describe("an upload", () => {
  it.each([false, true])("is taken with the file first: %s", async (fileFirst) => {
    const image = randomBytes(70_000);
    const answer = await upload({ ecu_type, version: "1.0.0", image, fileFirst });
    expect(answer.status).toBe(201);
    expect(answer.json).toMatchObject({
      size: image.length,
      sha256: sha256(image),
      status: "active",
    });
  });

  it("is taken with the file between the fields", async () => {
    const [first, ...others] = fields();
    const answer = await send(form([first, file, ...others] as Parameters<typeof form>[0]));
    expect(answer.status).toBe(201);
    expect(answer.json.hardware_versions).toEqual(["HW-1.0", "HW-2.0"]);
  });

  it("is compressed once into what decompresses to the image, several frames of it", async () => {
    const image = Buffer.concat([randomBytes(5_000_000), Buffer.alloc(5_000_000, 7)]);
    const { compressed_sha256, compressed_size } = (
      await upload({ ecu_type, version: "1.0.0", image })
    ).json;
    const path = blobPath(compressed_sha256);
    const blob = readFileSync(path);
    expect(blob).toHaveLength(compressed_size);
    expect(sha256(blob)).toBe(compressed_sha256);
    expect(compressed_size).toBeLessThan(image.length);
    expect(zstdDecompressSync(blob).equals(image)).toBe(true);
  });

  it("is decompressed by Debian's zstd too", async (context) => {
    requirePeer(context, "zstd");
    const image = randomBytes(9_000_000);
    const { compressed_sha256 } = (await upload({ ecu_type, version: "1.0.0", image })).json;
    const { stdout, status } = spawnSync("zstd", ["-d", "-c", blobPath(compressed_sha256)], {
      maxBuffer: 20_000_000,
    });
    expect(status).toBe(0);
    expect(sha256(stdout)).toBe(sha256(image));
  });

  it("of exactly the limit is taken, of one byte more is not", async () => {
    const image = Buffer.alloc(MAX_SIZE);
    expect((await upload({ ecu_type, version: "1.0.0", image })).status).toBe(201);
    const over = await upload({ ecu_type, version: "1.0.1", image: Buffer.alloc(MAX_SIZE + 1) });
    expect(problemOf(over)).toBe("FIRMWARE_TOO_LARGE");
    expect(await published()).toHaveLength(1);
    expect(staged()).toEqual([]);
  });

  it("far over the limit is refused before all of it was sent", async () => {
    let sent = 0;
    const chunk = Buffer.alloc(1024 * 1024);
    const head = form([...fields(), { ...file, value: "" }]);
    const tail = head.body.subarray(0, head.body.lastIndexOf("\r\n--", head.body.length - 5));
    const body = Readable.from(
      (function* () {
        yield tail;
        for (; sent < 2000; sent++) yield chunk;
      })(),
    );
    const answer = await send({ type: head.type, body }).catch((error: Error) => error);
    const refused = answer instanceof Error ? answer.message : answer.json.code;
    expect(refused).toMatch(/FIRMWARE_TOO_LARGE|other side closed|ECONNRESET|EPIPE/);
    expect(sent).toBeLessThan(2000);
    await vi.waitFor(() => expect(staged()).toEqual([]));
    expect(await published()).toEqual([]);
  });

  it("leaves the connection usable, or closes it: the next request is answered", async () => {
    await upload({ ecu_type, version: "1.0.1", image: Buffer.alloc(MAX_SIZE + 1) });
    expect((await upload({ ecu_type, version: "1.0.0" })).status).toBe(201);
  });

  it.each([
    ["empty", { image: Buffer.alloc(0) }, "FIRMWARE_EMPTY"],
    [
      "with a minimum at its version",
      { fields: { min_current_version: "2.0.0" } },
      "FIRMWARE_CHAIN_INVALID",
    ],
    [
      "with a minimum above its version",
      { fields: { min_current_version: "2.0.1" } },
      "FIRMWARE_CHAIN_INVALID",
    ],
    ["with a version that is none", { version: "2.0" }, "REQUEST_INVALID"],
    [
      "with a version semver can't hold",
      { version: "99999999999999999999.0.0" },
      "REQUEST_INVALID",
    ],
    ["for no hardware", { fields: { hardware_versions: "" } }, "REQUEST_INVALID"],
    ["for the same hardware twice", { fields: { hardware_versions: "A,A" } }, "REQUEST_INVALID"],
    [
      "for too much hardware",
      { fields: { hardware_versions: Array.from({ length: 65 }, (_, i) => `H${i}`).join(",") } },
      "REQUEST_INVALID",
    ],
    ["on no channel", { fields: { channel: "nightly" } }, "REQUEST_INVALID"],
    ["that is perhaps critical", { fields: { critical: "maybe" } }, "REQUEST_INVALID"],
    ["with notes that hold a NUL", { fields: { release_notes: "a\0b" } }, "REQUEST_INVALID"],
    ["with notes too long", { fields: { release_notes: "x".repeat(10_001) } }, "REQUEST_INVALID"],
    [
      "that sets what is not its to set",
      { fields: { created_at: "2020-01-01T00:00:00Z" } },
      "REQUEST_INVALID",
    ],
    ["that says it is archived", { fields: { status: "archived" } }, "REQUEST_INVALID"],
  ] as const)(
    "%s is refused, whatever comes first, and leaves nothing",
    async (_, change, code) => {
      const before = stored().length;
      for (const fileFirst of [false, true]) {
        const answer = await upload({
          ecu_type,
          version: "2.0.0",
          ...(change as object),
          fileFirst,
        });
        expect(problemOf(answer)).toBe(code);
      }
      expect(staged()).toEqual([]);
      expect(stored()).toHaveLength(before);
      expect(await published()).toEqual([]);
    },
  );

  it.each([
    ["without a file", () => form(fields()), "REQUEST_INVALID"],
    ["without a field", () => form([file]), "REQUEST_INVALID"],
    ["of nothing", () => form([]), "REQUEST_INVALID"],
    ["with two files", () => form([...fields(), file, { ...file }]), "REQUEST_INVALID"],
    [
      "with the file in another field",
      () => form([...fields(), { ...file, name: "image" }]),
      "REQUEST_INVALID",
    ],
    [
      "with too many fields",
      () =>
        form([
          ...fields(),
          ...Array.from({ length: 30 }, (_, i) => ({ name: `f${i}`, value: "x" })),
          file,
        ]),
      "REQUEST_INVALID",
    ],
    [
      "with a field of broken JSON",
      () =>
        form([...fields(), { name: "release_notes", value: "{", type: "application/json" }, file]),
      "REQUEST_INVALID",
    ],
    [
      "with a field named __proto__",
      () => form([...fields(), { name: "__proto__", value: "x" }, file]),
      "REQUEST_INVALID",
    ],
    ["without the end of its form", () => cutTail(form([...fields(), file])), "UPLOAD_INCOMPLETE"],
    ["without its boundary", () => ({ type: "multipart/form-data", body: "x" }), "REQUEST_INVALID"],
    [
      "with another boundary",
      () => ({ ...form([...fields(), file]), type: "multipart/form-data; boundary=other" }),
      "UPLOAD_INCOMPLETE",
    ],
    ["that is JSON", () => ({ type: "application/json", body: "{}" }), "MEDIA_TYPE_UNSUPPORTED"],
    [
      "that is the image alone",
      () => ({ type: "application/octet-stream", body: "x" }),
      "MEDIA_TYPE_UNSUPPORTED",
    ],
  ] as const)("%s is refused and leaves nothing", async (_, make, code) => {
    const before = stored().length;
    expect(problemOf(await send(make()))).toBe(code);
    expect(staged()).toEqual([]);
    expect(stored()).toHaveLength(before);
    expect(await published()).toEqual([]);
  });
});

function cutTail(whole: { type: string; body: Buffer }) {
  return { ...whole, body: whole.body.subarray(0, -40) };
}

describe("an upload that is cut in the middle", () => {
  it.each([
    ["in the fields", 200],
    ["at the beginning of the file", 600],
    ["deep in the file", 9_000_000],
  ])("%s leaves nothing behind", async (_, bytes) => {
    const before = stored().length;
    const { type, body } = form([...fields(), { ...file, value: randomBytes(10_000_000) }]);
    const socket = await openSocket(gateway, "https", await tlsAs(gateway));
    const token = readFileSync(gateway.app.tokenFile, "utf8").trim();
    socket.write(
      `POST /api/v1/firmware HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${token}\r\n` +
        `content-type: ${type}\r\ncontent-length: ${body.length}\r\n\r\n`,
    );
    await new Promise<void>((written) => socket.write(body.subarray(0, bytes), () => written()));
    // The gateway has begun on it before it is cut.
    await vi.waitFor(async () => expect(await inFlight()).toBe(1));
    socket.destroy();
    await vi.waitFor(async () => expect(await inFlight()).toBe(0), { timeout: 10_000 });
    await vi.waitFor(() => expect(staged()).toEqual([]));
    expect(stored()).toHaveLength(before);
    expect(await published()).toEqual([]);
  });

  async function inFlight(): Promise<number> {
    return (await gateway.admin.send("GET", "/healthz")).json.in_flight.https;
  }
});

describe("the same version twice", () => {
  it("is refused, before the file is read when the fields come first", async () => {
    await publish(gateway.admin, { ecu_type, version: "1.0.0" });
    for (const fileFirst of [false, true]) {
      expect(problemOf(await upload({ ecu_type, version: "1.0.0", fileFirst }))).toBe(
        "FIRMWARE_EXISTS",
      );
    }
    expect(staged()).toEqual([]);
  });

  it("at once is taken from one of them only, and nothing is kept of the others", async () => {
    const before = stored().length;
    const answers = await Promise.all(
      Array.from({ length: 4 }, () =>
        upload({ ecu_type, version: "1.0.0", image: randomBytes(3_000_000), fileFirst: true }),
      ),
    );
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      201, 409, 409, 409,
    ]);
    expect(await published()).toHaveLength(1);
    expect(stored()).toHaveLength(before + 1);
    expect(staged()).toEqual([]);
  });

  it("of another ECU type shares the bytes", async () => {
    const image = randomBytes(100_000);
    const one = await publish(gateway.admin, { ecu_type, version: "1.0.0", image });
    const before = stored().length;
    const other = await publish(gateway.admin, {
      ecu_type: `${ecu_type}-b`,
      version: "1.0.0",
      image,
    });
    expect(other.sha256).toBe(one.sha256);
    expect(stored()).toHaveLength(before);
  });
});

describe("a published firmware", () => {
  let vehicle: Caller;
  const vin = "VMG-FW";
  beforeAll(async () => {
    vehicle = await gateway.vehicle(vin);
    await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
  });

  const check = async () => {
    const [ecu] = sampleVci().ecus;
    const answer = await vehicle.send("POST", "/api/v1/ota/check", {
      body: { vin, ecus: [{ ...ecu, ecu_type }] },
    });
    return answer.json as {
      outdated_ecus: { target_version: string }[];
      blocked: { reason: string }[];
    };
  };
  const patch = (id: string, body: object) =>
    gateway.admin.send("PATCH", `/api/v1/firmware/${id}`, { body });

  it("that is archived is offered to nobody, changed by nobody, and still visible", async () => {
    const { firmware_id } = await publish(gateway.admin, { ecu_type, version: "2.0.0" });
    await publish(gateway.admin, { ecu_type, version: "1.5.0" });
    expect((await check()).outdated_ecus).toMatchObject([{ target_version: "2.0.0" }]);
    const path = `/api/v1/firmware/${firmware_id}`;
    expect((await gateway.admin.send("DELETE", path)).json.status).toBe("archived");
    expect((await check()).outdated_ecus).toMatchObject([{ target_version: "1.5.0" }]);
    expect(problemOf(await patch(firmware_id, { critical: true }))).toBe("FIRMWARE_ARCHIVED");
    expect((await gateway.admin.send("GET", path)).json.status).toBe("archived");
    expect(problemOf(await upload({ ecu_type, version: "2.0.0" }))).toBe("FIRMWARE_EXISTS");
  });

  it("is changed in what may change, and the planner follows at once", async () => {
    const { firmware_id } = await publish(gateway.admin, { ecu_type, version: "2.0.0" });
    expect((await patch(firmware_id, { channel: "beta" })).json.channel).toBe("beta");
    expect((await check()).blocked).toMatchObject([{ reason: "CHANNEL_NOT_ALLOWED" }]);
    await patch(firmware_id, { channel: "stable", hardware_versions: ["HW-9"] });
    expect((await check()).blocked).toMatchObject([{ reason: "NO_FIRMWARE_FOR_HARDWARE" }]);
    await patch(firmware_id, { hardware_versions: ["HW-1.0"], min_current_version: "1.1.0" });
    expect((await check()).blocked).toMatchObject([{ reason: "STEP_MISSING" }]);
    await patch(firmware_id, { min_current_version: null, critical: true });
    expect((await check()).outdated_ecus).toMatchObject([{ critical: true }]);
  });

  it("is not changed in what it is", async () => {
    const { firmware_id } = await publish(gateway.admin, { ecu_type, version: "2.0.0" });
    for (const body of [
      {},
      { version: "3.0.0" },
      { sha256: "0".repeat(64) },
      { status: "archived" },
    ]) {
      expect(problemOf(await patch(firmware_id, body))).toBe("REQUEST_INVALID");
    }
    const minimum = await patch(firmware_id, { min_current_version: "2.0.0" });
    expect(problemOf(minimum)).toBe("FIRMWARE_CHAIN_INVALID");
  });
});

describe("after all that", () => {
  it("nothing has failed inside", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
