import { once } from "node:events";
import { connect as connectPlain } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { logged, openSocket, sendRaw, tlsAs } from "#test/server/raw-client.ts";

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startGateway({ https: { stall_timeout_ms: 300 } });
});
afterAll(() => gateway.close());

const send = async (bytes: string) => sendRaw(gateway, await tlsAs(gateway), bytes);
const chunked = "POST /api/v1/vehicles HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

describe("bytes that are no HTTP request are answered with a problem, logged and counted", () => {
  it.each([
    ["garbage", "\u0016\u0003\u0001 hello\r\n\r\n", 400, "HTTP_MALFORMED"],
    ["another protocol", "SSH-2.0-OpenSSH_9.6\r\n", 400, "HTTP_MALFORMED"],
    ["HTTP/2 without ALPN", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "HTTP_MALFORMED"],
    [
      "two lengths",
      "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
      400,
      "HTTP_MALFORMED",
    ],
    [
      "headers over the limit",
      `GET / HTTP/1.1\r\nhost: a\r\nx: ${"x".repeat(20_000)}\r\n\r\n`,
      431,
      "HEADERS_TOO_LARGE",
    ],
    ["headers that do not come to an end", "GET / HTTP/1.1\r\nhost: a\r\n", 408, "REQUEST_TIMEOUT"],
    ["nothing at all", "", 408, "REQUEST_TIMEOUT"],
  ])("%s", async (_, bytes, status, code) => {
    const answer = await send(bytes);
    expect(answer.status).toBe(status);
    expect(answer.head).toMatch(/^content-type: application\/problem\+json$/m);
    expect(answer.head).toMatch(/^connection: close$/m);
    const problem = JSON.parse(answer.body) as Record<string, unknown>;
    expect(problem).toMatchObject({ type: `urn:latticeway:problem:${code}`, code, status });
    const line = await logged(gateway, ({ trace_id }) => trace_id === problem["trace_id"]);
    expect(line).toMatchObject({ code });
    const metrics = await gateway.admin.send("GET", "/metrics");
    expect(metrics.bytes.toString()).toMatch(
      new RegExp(`latticeway_http_unreadable_total\\{reason="${code}"\\} [1-9]`),
    );
  });

  it("also when the framing of a body breaks, whatever is said of the request itself", async () => {
    const answer = await send(`${chunked}zz\r\n`);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.head).toMatch(/^content-type: application\/problem\+json$/im);
  });

  it("but no answer is put behind a failed handshake", async () => {
    const socket = connectPlain(gateway.app.ports.https, "localhost");
    const received: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => received.push(chunk));
    socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    await once(socket, "close");
    expect(Buffer.concat(received).toString("latin1")).not.toContain("HTTP/1.1");
  });

  it("and none inside an answer that has begun: it is cut", async () => {
    const socket = await openSocket(gateway, "https", await tlsAs(gateway));
    const received: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => received.push(chunk));
    socket.write("GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n");
    socket.write("garbage\r\n\r\n");
    await once(socket, "close");
    const text = Buffer.concat(received).toString("latin1");
    const [first = "", ...rest] = text.split("HTTP/1.1 ").slice(1);
    expect(first).toMatch(/^(?:200 OK[^]*\r\n\r\n\{"status":"ok"[^]*\}$|400 )/);
    for (const each of rest) expect(each).toMatch(/^400 /);
  });
});
