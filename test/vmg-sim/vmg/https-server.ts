import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { ConnectionOptions } from "node:tls";
import {
  ensureDevelopmentPki,
  issueVehicleCertificate,
  loadServerIdentities,
  loadVehicleIdentity,
  serverCa,
  vehicleCa,
} from "#crypto/pki.ts";
import { clientTlsOptions, serverTlsOptions } from "#crypto/tls.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";

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
  const certs = temporaryFolder();
  await ensureDevelopmentPki(certs.path, { algorithms: ["ecdsa-p256"] });
  await issueVehicleCertificate(certs.path, { vehicleId: vin });
  const tls = clientTlsOptions({
    profile: 2,
    identity: await loadVehicleIdentity(certs.path, vin),
    ca: await serverCa(certs.path),
  });
  let handler: Handler = (_, response) => response.writeHead(404).end();
  const server = createServer(
    serverTlsOptions({
      profiles: [2],
      identities: await loadServerIdentities(certs.path),
      clientCa: await vehicleCa(certs.path),
      clientCertificates: "required",
    }),
    (request, response) => handler(request, response),
  );
  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  return {
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    tls,
    answer(next) {
      handler = next;
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      certs.remove();
    },
  };
}

export function problem(response: ServerResponse, status: number, code: string): void {
  const body = { type: `urn:latticeway:problem:${code}`, title: code, status, code };
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify(body));
}
