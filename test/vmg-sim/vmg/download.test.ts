import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { discardDownload, downloadPackage } from "#vmg-sim/vmg/download.ts";
import { createGatewayClient } from "#vmg-sim/vmg/gateway-client.ts";
import { problem, startBadServer, type BadServer } from "./https-server.ts";
import { stillPace } from "./still-pace.ts";

let server: BadServer;
beforeAll(async () => {
  server = await startBadServer("VMG-001");
});
afterAll(() => server.close());

const content = randomBytes(4_000_000);
const checksum = (bytes: Uint8Array) =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

interface Served {
  bytes?: Buffer;
  etag?: string;
  /** Cut the connection after so many bytes of the answer. */
  cutAfter?: number;
}

/** Serves ranges by the book, unless it is told to cut. @returns the Range header it got */
function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { bytes = content, etag = '"v1"', cutAfter }: Served = {},
): string | undefined {
  const { range, "if-range": ifRange } = request.headers;
  const from = Number(/^bytes=(\d+)-$/.exec(range ?? "")?.[1] ?? 0);
  const isPart = range !== undefined && ifRange === etag;
  const start = isPart ? from : 0;
  response.writeHead(isPart ? 206 : 200, {
    etag,
    "content-length": bytes.length - start,
    ...(isPart && { "content-range": `bytes ${start}-${bytes.length - 1}/${bytes.length}` }),
  });
  if (cutAfter === undefined) response.end(bytes.subarray(start));
  else {
    response.write(bytes.subarray(start, start + cutAfter), () => request.socket.destroySoon());
  }
  return range;
}

function setUp(size = content.length, sum = checksum(content)) {
  const file = join(testFolder(), "package.tar");
  const progress: number[] = [];
  const run = (signal?: AbortSignal) => {
    const pace = stillPace();
    const backoff = { retries: 3, backoff_ms: 100, max_backoff_ms: 1000 };
    const client = createGatewayClient({
      settings: { https_url: server.url, timeout_ms: 5000, ...backoff },
      tls: server.tls,
      vin: "VMG-001",
      pace,
    });
    onTestFinished(() => client.close());
    return downloadPackage(
      { client, backoff, pace },
      {
        url: "/file",
        file,
        size,
        checksum: sum,
        onProgress: (bytes) => progress.push(bytes),
        ...(signal && { signal }),
      },
    );
  };
  return { file, progress, run };
}

describe("download", () => {
  it("writes the whole file and tells the way there", async () => {
    server.answer((request, response) => void serve(request, response));
    const { file, progress, run } = setUp();
    expect(await run()).toEqual({ received: content.length, resumes: 0 });
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(progress.at(-1)).toBe(content.length);
    expect(progress.toSorted((a, b) => a - b)).toEqual(progress);
  });

  it("goes on where the connection was cut, as often as it brings something", async () => {
    const ranges: (string | undefined)[] = [];
    server.answer((request, response) => {
      const cutAfter = ranges.length < 5 ? 700_000 : undefined;
      ranges.push(serve(request, response, cutAfter === undefined ? {} : { cutAfter }));
    });
    const { file, run } = setUp();
    const { received, resumes } = await run();
    expect(readFileSync(file).equals(content)).toBe(true);
    expect(received).toBe(content.length);
    expect(resumes).toBe(5);
    expect(ranges[0]).toBeUndefined();
    expect(ranges.slice(1).every((range) => /^bytes=[1-9]\d*-$/.test(range ?? ""))).toBe(true);
  });

  it("goes on after a restart of the process with what is on disk", async () => {
    const { file, run } = setUp();
    server.answer((request, response) => {
      if (existsSync(file) && statSync(file).size > 0)
        problem(response, 403, "PACKAGE_NOT_ASSIGNED");
      else serve(request, response, { cutAfter: 1_000_000 });
    });
    await expect(run()).rejects.toMatchObject({ code: "PACKAGE_NOT_ASSIGNED" });
    const had = statSync(file).size;
    expect(had).toBeGreaterThan(0);
    server.answer((request, response) => void serve(request, response));
    expect(await run()).toEqual({ received: content.length - had, resumes: 1 });
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it("needs no gateway when the whole file is there already", async () => {
    server.answer((request, response) => void serve(request, response));
    const { run } = setUp();
    await run();
    server.answer((_, response) => problem(response, 404, "PACKAGE_UNKNOWN"));
    expect(await run()).toEqual({ received: 0, resumes: 1 });
  });

  it("starts over when the file has changed at the gateway meanwhile", async () => {
    const older = randomBytes(content.length);
    let count = 0;
    server.answer((request, response) => {
      count++;
      if (count === 1) serve(request, response, { bytes: older, etag: '"v0"', cutAfter: 900_000 });
      else serve(request, response);
    });
    const { file, run } = setUp();
    await run();
    expect(count).toBe(2);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it("starts over from what was damaged on disk", async () => {
    server.answer((request, response) => void serve(request, response));
    const { file, run } = setUp();
    await run();
    truncateSync(file, 3_000_000);
    writeFileSync(file, "damage", { flag: "r+" });
    expect((await run()).received).toBe(1_000_000 + content.length);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it("starts over when its range is refused", async () => {
    let count = 0;
    server.answer((request, response) => {
      count++;
      if (count === 1) serve(request, response, { cutAfter: 900_000 });
      else if (request.headers.range) problem(response, 416, "RANGE_NOT_SATISFIABLE");
      else serve(request, response);
    });
    const { file, run } = setUp();
    await run();
    expect(count).toBe(3);
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it("does not join a range that it did not ask for", async () => {
    let count = 0;
    server.answer((request, response) => {
      count++;
      if (count === 1) return void serve(request, response, { cutAfter: 900_000 });
      if (!request.headers.range) return void serve(request, response);
      const end = content.length - 1;
      response.writeHead(206, {
        etag: '"v1"',
        "content-range": `bytes 5-${end}/${content.length}`,
        "content-length": content.length - 5,
      });
      response.end(content.subarray(5));
    });
    const { file, run } = setUp();
    await run();
    expect(readFileSync(file).equals(content)).toBe(true);
  });

  it.each([
    ["a length that was not announced", content.subarray(1)],
    ["a longer file", Buffer.concat([content, content])],
  ])("refuses %s", async (_, bytes) => {
    server.answer((request, response) => void serve(request, response, { bytes }));
    const { run } = setUp();
    await expect(run()).rejects.toMatchObject({ code: "DOWNLOAD_SIZE_MISMATCH" });
  });

  it("stops a body without a length at the announced size", async () => {
    server.answer((_, response) => {
      response.writeHead(200, { etag: '"v1"' });
      const more = () => {
        while (response.write(content));
        response.once("drain", more);
      };
      more();
    });
    const { file, run } = setUp();
    await expect(run()).rejects.toMatchObject({ code: "DOWNLOAD_SIZE_MISMATCH" });
    expect(statSync(file).size).toBeLessThanOrEqual(content.length);
  });

  it("refuses bytes with another hash", async () => {
    let count = 0;
    server.answer((request, response) => {
      count++;
      serve(request, response, { bytes: Buffer.from(content).fill(0, 100, 200) });
    });
    const { run } = setUp();
    await expect(run()).rejects.toMatchObject({ code: "DOWNLOAD_CHECKSUM_MISMATCH" });
    expect(count).toBe(1);
  });

  it("refuses bytes with another hash, also when it has started over for them", async () => {
    server.answer((request, response) => void serve(request, response));
    const { file, run } = setUp();
    await run();
    truncateSync(file, 3_000_000);
    let count = 0;
    server.answer((request, response) => {
      count++;
      serve(request, response, { bytes: Buffer.from(content).fill(0, 3_500_000) });
    });
    await expect(run()).rejects.toMatchObject({ code: "DOWNLOAD_CHECKSUM_MISMATCH" });
    expect(count).toBe(2);
  });

  it("gives up when try after try brings nothing", async () => {
    let count = 0;
    server.answer((_, response) => {
      count++;
      problem(response, 503, "OVERLOADED");
    });
    const { run } = setUp();
    await expect(run()).rejects.toMatchObject({ code: "OVERLOADED" });
    expect(count).toBe(4);
  });

  it("refuses a package that the storage has no room for, before it asks for it", async () => {
    let count = 0;
    server.answer(() => void count++);
    const { run } = setUp(2 ** 52);
    await expect(run()).rejects.toMatchObject({ code: "STORAGE_FULL" });
    expect(count).toBe(0);
  });

  it("stops at once when it is told to, and keeps what it has", async () => {
    const stop = new AbortController();
    server.answer((_, response) => {
      response.writeHead(200, { etag: '"v1"', "content-length": content.length });
      response.write(content.subarray(0, 50_000), () => stop.abort(new Error("stopped")));
    });
    const { file, run } = setUp();
    await expect(run(stop.signal)).rejects.toThrow("stopped");
    expect(existsSync(file)).toBe(true);
    await discardDownload(file);
    expect(existsSync(file)).toBe(false);
  });
});
