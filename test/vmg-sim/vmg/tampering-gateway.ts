import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { loadServerIdentities, vehicleCa } from "#crypto/pki.ts";
import { loadSigningPublicKeys } from "#crypto/signing-keys.ts";
import { serverTlsOptions } from "#crypto/tls.ts";
import { keyId, keyRecord } from "#protocol/uptane/key.ts";
import type { RepositoryName } from "#protocol/uptane/vehicle-state.ts";
import type { Answer, TestGateway } from "#test/helpers/gateway.ts";
import { testRepository, type TestRepository } from "#test/protocol/uptane/test-repository.ts";
import type { TrustRoots } from "#vmg-sim/vmg/vehicle-trust.ts";

export type Repositories = Record<RepositoryName, TestRepository>;

/** An attacker between one vehicle and its gateway, who has the keys that a test gives him. */
export interface TamperingGateway {
  /** The real one. */
  gateway: TestGateway;
  url: string;
  /** What the vehicle is built with. */
  roots: TrustRoots;
  repositories: Repositories;
  /** Paths that were asked for, in order. */
  asked: string[];
  /**
   * What becomes of both repositories, which say what the gateway's own say, before they are signed
   * by the keys of the test, and of the files afterwards. Without it nothing is altered.
   */
  attack: { before?: (repositories: Repositories) => void; after?: (files: Repositories) => void };
  /** Answers in the gateway's place; returns false for what may pass. */
  answer: (path: string, response: ServerResponse) => boolean;
  /** Has the director's next root name the keys that sign the gateway's packages too. */
  namePackageKeys: () => Promise<void>;
  /** Alters what the gateway answers. */
  alter: (path: string, answer: Answer) => Buffer;
  close(): Promise<void>;
}

const ROLES = ["root", "timestamp", "snapshot", "targets"] as const;
const LONG = 30 * 24 * 3600 * 1000;

/** Stands in front of a real gateway until the running test ends it, or that gateway closes. */
export async function tamperingGateway(
  gateway: TestGateway,
  vin: string,
): Promise<TamperingGateway> {
  const upstream = await gateway.vehicle(vin);
  const repositories = { director: lastingRepository(), image: lastingRepository() };
  await namePackageKeys();
  repositories.director.sign("root");
  const server = createServer(
    serverTlsOptions({
      profiles: [2],
      identities: await loadServerIdentities(gateway.config.certs_dir),
      clientCa: await vehicleCa(gateway.config.certs_dir),
      clientCertificates: "required",
    }),
    (request, response) => {
      respond(request, response).catch((error: unknown) => response.destroy(error as Error));
    },
  );

  async function respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "" } = request;
    tampering.asked.push(path);
    const body = await bodyOf(request);
    if (tampering.answer(path, response)) return;
    const [, name, file] = /^\/api\/v1\/uptane\/(director|image)\/(.+)$/.exec(path) ?? [];
    if (name !== undefined && file !== undefined) {
      const found = repositories[name as RepositoryName].files.get(file);
      response.writeHead(found ? 200 : 404).end(found);
      return;
    }
    const answer = await upstream.send(method, path, {
      ...(body.length > 0 && { raw: { type: "application/json", body } }),
      headers: passedOn(request),
    });
    if (path === "/api/v1/ota/package" && answer.status < 300) await sign();
    const bytes = tampering.alter(path, answer);
    const { "content-length": _, connection: __, ...headers } = answer.headers;
    response.writeHead(answer.status, { ...headers, "content-length": bytes.length }).end(bytes);
  }

  /** Signs what the gateway says with the keys of the test, after the attack on it. */
  async function sign(): Promise<void> {
    for (const name of ["director", "image"] as const) {
      const theirs = await upstreamTargets(name);
      Object.assign(repositories[name].targets, { targets: theirs["targets"] });
      if (name === "director") repositories[name].targets["custom"] = theirs["custom"];
    }
    const { before, after } = tampering.attack;
    before?.(repositories);
    for (const repository of Object.values(repositories)) repository.publishAll();
    after?.(repositories);
  }

  async function upstreamTargets(name: RepositoryName): Promise<Record<string, unknown>> {
    const read = async (file: string) =>
      (await upstream.send("GET", `/api/v1/uptane/${name}/${file}`)).json.signed;
    const { meta } = await read("timestamp.json");
    const snapshot = await read(`${meta["snapshot.json"].version}.snapshot.json`);
    return read(`${snapshot.meta["targets.json"].version}.targets.json`);
  }

  async function namePackageKeys(): Promise<void> {
    const keys = await loadSigningPublicKeys(`${gateway.config.certs_dir}/signing`);
    const { root } = repositories.director;
    for (const record of keys.map(keyRecord)) {
      root.keys[keyId(record)] = record;
      root.roles.targets.keyids.push(keyId(record));
    }
  }

  await new Promise<void>((resolve) => server.listen(0, "localhost", resolve));
  const firstRoot = (name: RepositoryName) =>
    repositories[name].files.get("1.root.json") ?? Buffer.alloc(0);
  const tampering: TamperingGateway = {
    gateway,
    url: `https://localhost:${(server.address() as AddressInfo).port}`,
    roots: { director: firstRoot("director"), image: firstRoot("image") },
    repositories,
    asked: [],
    attack: {},
    answer: () => false,
    alter: (_path, answer) => answer.bytes,
    namePackageKeys,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return tampering;
}

/** A test's repository, valid today and for a while. */
function lastingRepository(): TestRepository {
  const repository = testRepository();
  const expires = new Date(Date.now() + LONG).toISOString().replace(/\.\d+Z/, "Z");
  for (const role of ROLES) repository[role].expires = expires;
  repository.sign("root");
  repository.publishAll();
  return repository;
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

function passedOn({ headers }: IncomingMessage): Record<string, string> {
  const { range, "if-range": ifRange } = headers;
  return {
    ...(range !== undefined && { range }),
    ...(typeof ifRange === "string" && { "if-range": ifRange }),
  };
}
