import { randomFillSync } from "node:crypto";
import { createWriteStream, readFileSync } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Agent, request } from "undici";
import { clientTlsOptions } from "#crypto/tls.ts";
import type { CheckAnswer, PackageAnswer } from "#protocol/api/ota.ts";
import type { Vci } from "#protocol/api/vci.ts";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import type { Gateway } from "./gateway.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

const MIB = 1024 * 1024;
/** Uploads and assemblies of large packages take longer than undici waits by default. */
const TIMEOUT_MS = 600_000;

/** Calls a gateway's API as an operator, or as the vehicles whose certificates exist. */
export interface Fleet {
  /** Publishes an image of random bytes, which no compression makes smaller. @returns its id */
  publish(image: {
    ecuType: string;
    version: string;
    bytes: number;
    fields?: Record<string, string>;
  }): Promise<string>;
  register(vehicle: Vehicle): Promise<void>;
  submitVci(vehicle: Vehicle, vci: Vci): Promise<void>;
  requestPackage(vehicle: Vehicle): Promise<PackageAnswer>;
  check(vehicle: Vehicle): Promise<CheckAnswer>;
  reportStatus(vehicle: Vehicle, status: OtaStatus): Promise<void>;
  /** Saves what a vehicle downloads. */
  download(vehicle: Vehicle, path: string, file: string): Promise<void>;
  operator<Answer>(method: "GET" | "POST", path: string, body?: unknown): Promise<Answer>;
  close(): Promise<void>;
}

export function openFleet(gateway: Gateway, workspace: Workspace): Fleet {
  const ca = readFileSync(workspace.serverRoot, "utf8");
  const agents = new Map<string, Agent>();
  const agentOf = (vehicle?: Vehicle) => {
    const name = vehicle?.vin ?? "";
    const agent = agents.get(name) ?? createAgent(ca, vehicle);
    agents.set(name, agent);
    return agent;
  };
  const call = async <Answer>(
    method: "GET" | "POST",
    path: string,
    sent: { by?: Vehicle; type?: string; body?: string | Readable },
  ): Promise<Answer> => {
    const answer = await request(`https://127.0.0.1:${gateway.port}/api/v1${path}`, {
      method,
      dispatcher: agentOf(sent.by),
      headers: {
        ...(sent.by === undefined ? { authorization: `Bearer ${gateway.token}` } : {}),
        ...(sent.type === undefined ? {} : { "content-type": sent.type }),
      },
      body: sent.body ?? null,
    });
    const text = await answer.body.text();
    if (answer.statusCode >= 300) throw new Error(`${method} ${path}: ${text}`);
    return (text === "" ? undefined : JSON.parse(text)) as Answer;
  };
  const send = <Answer>(path: string, by: Vehicle, body: unknown) =>
    call<Answer>("POST", path, { by, type: "application/json", body: JSON.stringify(body) });
  return {
    async publish({ ecuType, version, bytes, fields }) {
      const usual = { ecu_type: ecuType, version, hardware_versions: "HW-1.0", channel: "stable" };
      const { firmware_id } = await call<{ firmware_id: string }>("POST", "/firmware", {
        type: `multipart/form-data; boundary=${BOUNDARY}`,
        body: Readable.from(multipart({ ...usual, ...fields }, bytes)),
      });
      return firmware_id;
    },
    register: (vehicle) => send("/vehicles/register", vehicle, { vin: vehicle.vin }),
    submitVci: (vehicle, vci) => send(`/vehicles/${vehicle.vin}/vci`, vehicle, vci),
    requestPackage: (vehicle) => send("/ota/package", vehicle, { vin: vehicle.vin }),
    check: (vehicle) => send("/ota/check", vehicle, { vin: vehicle.vin }),
    reportStatus: (vehicle, status) => send("/ota/status", vehicle, status),
    async download(vehicle, path, file) {
      const url = `https://127.0.0.1:${gateway.port}${path}`;
      const { body } = await request(url, { dispatcher: agentOf(vehicle) });
      await pipeline(body, createWriteStream(file));
    },
    operator: (method, path, body) =>
      call(
        method,
        path,
        body === undefined ? {} : { type: "application/json", body: JSON.stringify(body) },
      ),
    async close() {
      await Promise.all([...agents.values()].map((agent) => agent.close()));
    },
  };
}

/** A VCI whose ECUs, one for each type, all run 1.0.0. */
export function vciOf(zoneId: string, ecuTypes: readonly string[]): Vci {
  return {
    zones: [{ zone_id: zoneId }],
    ecus: ecuTypes.map((ecu_type) => ({
      ecu_id: `ECU-${ecu_type}`,
      zone_id: zoneId,
      ecu_type,
      hardware_version: "HW-1.0",
      software_version: "1.0.0",
    })),
  };
}

function createAgent(ca: string, vehicle: Vehicle | undefined): Agent {
  const identity = vehicle && {
    algorithm: "ecdsa-p256" as const,
    key: readFileSync(vehicle.key, "utf8"),
    chain: readFileSync(vehicle.certificate, "utf8"),
  };
  return new Agent({
    connect: clientTlsOptions({ profile: 2, ca, ...(identity ? { identity } : {}) }) as object,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
  });
}

const BOUNDARY = "latticeway-bench";

function* multipart(fields: Record<string, string>, bytes: number): Generator<Buffer> {
  for (const [name, value] of Object.entries(fields)) {
    yield Buffer.from(
      `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"\r\n\r\n${value}\r\n`,
    );
  }
  yield Buffer.from(
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="image.bin"\r\ncontent-type: application/octet-stream\r\n\r\n`,
  );
  for (let left = bytes; left > 0; left -= MIB) {
    yield randomFillSync(Buffer.allocUnsafe(Math.min(MIB, left)));
  }
  yield Buffer.from(`\r\n--${BOUNDARY}--\r\n`);
}
