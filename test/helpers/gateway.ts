import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import pino from "pino";
import { Agent, request, type buildConnector } from "undici";
import { loadServerConfig, type ServerConfig } from "#config/server.ts";
import { issueVehicleCertificate, loadVehicleIdentity, serverCa } from "#crypto/pki.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import { startApp, type App } from "#server/app.ts";
import { apiContract, type ApiContract, type ApiDocument } from "./api-contract.ts";
import { temporaryFolder } from "./folder.ts";
import { testDatabase } from "./test-database.ts";

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  bytes: Buffer;
  /** The body as JSON; undefined when it is none. */
  // oxlint-disable-next-line typescript/no-explicit-any -- tests look into whatever came
  json: any;
}

export interface RequestOptions {
  body?: unknown;
  /** Sent as it is, with its own content type. */
  raw?: { type: string; body: string | Buffer | NodeJS.ReadableStream };
  headers?: Record<string, string>;
}

/**
 * Talks HTTPS as somebody: a vehicle with its certificate, an operator with a token, nobody.
 * Every answer is held to the gateway's own description of its API.
 */
export interface Caller {
  send(method: string, path: string, options?: RequestOptions): Promise<Answer>;
  close(): Promise<void>;
}

export interface TestGateway {
  app: App;
  config: ServerConfig;
  url: string;
  /** Lines of the log, parsed. */
  log: Record<string, unknown>[];
  /** The first admin. */
  admin: Caller;
  operator(token: string): Caller;
  vehicle(vin: string, profile?: number): Promise<Caller>;
  /** Whoever connects with these options. */
  as(options: ConnectionOptions): Caller;
  mqtt(vin: string, options?: IClientOptions): Promise<MqttClient>;
  /** Connects by MQTT and tells how that ended. */
  mqttRefusal(vin: string, options?: IClientOptions): Promise<Error>;
  /** Stops it and starts another one on the same data. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

type Overrides = { [Key in keyof ServerConfig]?: Partial<ServerConfig[Key]> };

/** A gateway of this test alone: free ports, temporary folders, its own database. */
export async function startGateway(overrides: Overrides = {}): Promise<TestGateway> {
  const folder = temporaryFolder();
  const database = await testDatabase(join(folder.path, "data"));
  const config = testConfig(folder.path, database.url, overrides);
  const log: Record<string, unknown>[] = [];
  const logger = pino(
    { level: "debug" },
    { write: (line) => log.push(JSON.parse(line) as Record<string, unknown>) },
  );
  let app = await startApp(config, logger);
  const opened: { close(): Promise<void> }[] = [];
  const port = () => app.ports;
  const url = () => `https://localhost:${port().https}`;
  const ca = await serverCa(config.certs_dir);
  const token = readFileSync(app.tokenFile, "utf8").trim();

  const track = <T extends { close(): Promise<void> }>(caller: T): T => {
    opened.push(caller);
    return caller;
  };
  const clientOptions = async (vin: string, profile: number) => {
    const algorithm = profile === 2 ? "ecdsa-p256" : profile >= 4 ? "ml-dsa-65" : "ecdsa-p256";
    await issueVehicleCertificate(config.certs_dir, { vehicleId: vin, algorithm });
    const identity = await loadVehicleIdentity(config.certs_dir, vin, algorithm);
    return clientTlsOptions({ profile, identity, ca });
  };
  const anonymous = clientTlsOptions({ profile: 2, ca });
  const contract = () => describedBy(url(), anonymous);
  const connect = async (vin: string, options: IClientOptions) =>
    mqtt.connect({
      host: "localhost",
      port: port().mqtt,
      protocol: "mqtts",
      protocolVersion: 4,
      clientId: vin,
      clean: true,
      reconnectPeriod: 0,
      ...((await clientOptions(vin, 2)) as IClientOptions),
      ...options,
    });

  return {
    get app() {
      return app;
    },
    config,
    get url() {
      return url();
    },
    log,
    admin: track(caller(url, agentFor(anonymous), contract, { authorization: `Bearer ${token}` })),
    operator: (other) =>
      track(
        caller(
          url,
          agentFor(anonymous),
          contract,
          other === "" ? {} : { authorization: `Bearer ${other}` },
        ),
      ),
    as: (options) => track(caller(url, agentFor(options), contract, {})),
    vehicle: async (vin, profile = 2) =>
      track(caller(url, agentFor(await clientOptions(vin, profile)), contract, {})),
    async mqtt(vin, options = {}) {
      const client = await connect(vin, options);
      opened.push({ close: () => client.endAsync(true) });
      await new Promise<void>((done, fail) => {
        client.once("connect", () => done());
        client.once("error", fail);
        client.once("close", () => fail(new Error("closed before it was connected")));
      });
      return client;
    },
    async mqttRefusal(vin, options = {}) {
      const client = await connect(vin, options);
      const error = await new Promise<Error>((done) => {
        client.once("connect", () => done(new Error("was let in")));
        client.once("error", done);
        client.once("close", () => done(new Error("closed")));
      });
      await client.endAsync(true);
      return error;
    },
    async restart() {
      await app.close();
      app = await startApp(config, logger);
    },
    async close() {
      await Promise.all(opened.map((each) => each.close()));
      await app.close();
      await database.drop();
      folder.remove();
    },
  };
}

function testConfig(folder: string, databaseUrl: string, overrides: Overrides): ServerConfig {
  const config = structuredClone(loadServerConfig({}));
  const base: ServerConfig = {
    ...config,
    data_dir: join(folder, "data"),
    certs_dir: join(folder, "certs"),
    https: { ...config.https, host: "localhost", port: 0 },
    mqtt: { ...config.mqtt, host: "localhost", port: 0 },
    database: { url: databaseUrl, pool_size: 5 },
  };
  for (const [key, value] of Object.entries(overrides)) {
    const name = key as keyof ServerConfig;
    const before = base[name];
    const merged = typeof before === "object" ? { ...before, ...(value as object) } : value;
    Object.assign(base, { [name]: merged });
  }
  return base;
}

function agentFor(options: ConnectionOptions): Agent {
  return new Agent({ connect: options as buildConnector.BuildOptions });
}

/** The same for every gateway of a worker, so read once. */
let contract: Promise<ApiContract> | undefined;

function describedBy(url: string, options: ConnectionOptions): Promise<ApiContract> {
  contract ??= readContract(url, options).catch((error: unknown) => {
    contract = undefined;
    throw error;
  });
  return contract;
}

async function readContract(url: string, options: ConnectionOptions): Promise<ApiContract> {
  const agent = agentFor(options);
  try {
    const { body } = await request(`${url}/docs/json`, { dispatcher: agent });
    return apiContract((await body.json()) as ApiDocument);
  } finally {
    await agent.close();
  }
}

function caller(
  url: () => string,
  agent: Agent,
  describing: () => Promise<ApiContract>,
  identity: Record<string, string>,
): Caller {
  return {
    async send(method, path, { body, raw, headers = {} } = {}) {
      const payload = raw
        ? { body: raw.body as string, headers: { "content-type": raw.type } }
        : body === undefined
          ? { headers: {} }
          : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
      // First, so that the caller's own connection does not lie idle meanwhile.
      const described = await describing();
      const answer = await request(`${url()}${path}`, {
        method: method as "GET",
        dispatcher: agent,
        ...payload,
        headers: { ...identity, ...payload.headers, ...headers },
      });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      const { statusCode: status, headers: answered } = answer;
      described.check(method, path, { status, headers: answered, bytes });
      return { status, headers: answered, bytes, json: parse(bytes) };
    },
    close: () => agent.close(),
  };
}

function parse(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString());
  } catch {
    return undefined;
  }
}
