import { once } from "node:events";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { vi } from "vitest";
import { serverCa } from "#crypto/pki.ts";
import { clientTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";

/** TLS options of a client with this certificate, or without one, on a profile. */
export async function tlsAs(
  gateway: TestGateway,
  identity?: TlsIdentity,
  profile = 2,
): Promise<ConnectionOptions> {
  const ca = await serverCa(gateway.config.certs_dir);
  return clientTlsOptions({ profile, ca, ...(identity ? { identity } : {}) });
}

/** A TLS connection to one of the gateway's ports, for what no proper client would send. */
export async function openSocket(
  gateway: TestGateway,
  listener: "https" | "mqtt",
  options: ConnectionOptions,
): Promise<TLSSocket> {
  const socket = connect({
    host: "localhost",
    port: gateway.app.ports[listener],
    servername: "localhost",
    ...options,
  });
  await once(socket, "secureConnect");
  socket.on("error", () => {});
  return socket;
}

/** How a handshake with the gateway fails. */
export async function handshakeError(
  gateway: TestGateway,
  listener: "https" | "mqtt",
  options: ConnectionOptions,
): Promise<Error & { code?: string }> {
  const socket = connect({
    host: "localhost",
    port: gateway.app.ports[listener],
    servername: "localhost",
    ...options,
  });
  try {
    return await Promise.race([
      once(socket, "error").then(([error]) => error as Error),
      once(socket, "secureConnect").then(() => {
        throw new Error("the handshake went through");
      }),
    ]);
  } finally {
    socket.destroy();
  }
}

export interface RawAnswer {
  status: number;
  head: string;
  body: string;
}

/** Sends these very bytes and reads until the gateway closes the connection. */
export async function sendRaw(
  gateway: TestGateway,
  options: ConnectionOptions,
  request: string | Buffer,
): Promise<RawAnswer> {
  const socket = await openSocket(gateway, "https", options);
  const chunks: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => chunks.push(chunk));
  socket.write(request);
  await new Promise<void>((closed) => socket.once("close", () => closed()));
  const text = Buffer.concat(chunks).toString("latin1");
  const [head = "", ...rest] = text.split("\r\n\r\n");
  return {
    status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0),
    head,
    body: rest.join("\r\n\r\n"),
  };
}

/** A request that asks for the connection to be closed behind it. */
export function rawRequest(
  method: string,
  path: string,
  headers: string[] = [],
  body = "",
): string {
  const length = body === "" ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  const lines = [
    `${method} ${path} HTTP/1.1`,
    "host: localhost",
    "connection: close",
    ...headers,
    ...length,
  ];
  return `${lines.join("\r\n")}\r\n\r\n${body}`;
}

/** Waits until the log has a line that fits; fails when none comes. */
export function logged(
  gateway: TestGateway,
  fits: (line: Record<string, unknown>) => boolean,
): Promise<Record<string, unknown>> {
  return vi.waitFor(
    () => {
      const line = gateway.log.find(fits);
      if (line) return line;
      const last = gateway.log.slice(-10).map((each) => JSON.stringify(each));
      throw new Error(`no such line in the log, which ends with:\n${last.join("\n")}`);
    },
    { timeout: 10_000, interval: 5 },
  );
}
