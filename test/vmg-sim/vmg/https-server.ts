import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { testPki } from "./test-pki.ts";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A real HTTPS server that can be told to behave badly, with the certificates to reach it. */
export interface BadServer {
  url: string;
  tls: ConnectionOptions;
  /** What the next requests get. */
  answer(handler: Handler): void;
  close(): Promise<void>;
}

export async function startBadServer(vin: string): Promise<BadServer> {
  const pki = await testPki(vin);
  let handler: Handler = (_, response) => response.writeHead(404).end();
  const server = createServer(pki.server, (request, response) => handler(request, response));
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    tls: pki.vehicle,
    answer(next) {
      handler = next;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      pki.remove();
    },
  };
}

export function problem(response: ServerResponse, status: number, code: string): void {
  const body = { type: `urn:latticeway:problem:${code}`, title: code, status, code };
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify(body));
}
