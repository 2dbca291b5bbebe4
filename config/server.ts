import { join } from "node:path";
import Type, { type Static, type TProperties } from "typebox";
import { PolicySettings } from "#protocol/api/policy.ts";
import { LevelName, RoleName } from "#protocol/api/operator.ts";
import { ConfigError, loadConfig } from "./load.ts";
import { LogConfig } from "./log.ts";

const group = <Properties extends TProperties>(properties: Properties) =>
  Type.Object(properties, { additionalProperties: false });

const Host = Type.String({ minLength: 1, description: "an address or host name" });
const Port = Type.Integer({
  minimum: 0,
  maximum: 65_535,
  description: "0 to 65535; 0 picks a free one",
});
const Days = Type.Number({ exclusiveMinimum: 0, description: "days, more than 0" });
const Hours = Type.Number({ exclusiveMinimum: 0, description: "hours, more than 0" });
/** As a token's `aud` has it: one exactly, never a pattern. */
const TokenAudience = Type.String({
  maxLength: 255,
  pattern: "^[^\\s*]*$",
  description: "empty, or a name as the issuer's tokens have it, without blanks and *",
});
const WaitSeconds = Type.Integer({
  minimum: 0,
  maximum: 604_800,
  description: "seconds, 0 to 604800",
});
const Limit = group({
  min: Type.Optional(Type.Number({ description: "a number" })),
  max: Type.Optional(Type.Number({ description: "a number" })),
});

/** Everything `config/server.yaml` can say. The YAML file explains each key. */
export const ServerConfig = group({
  data_dir: Type.String({ minLength: 1, description: "a folder" }),
  certs_dir: Type.String({ minLength: 1, description: "a folder" }),
  https: group({
    host: Host,
    port: Port,
    body_limit: Type.Integer({ minimum: 1024, description: "bytes, 1024 or more" }),
    stall_timeout_ms: Type.Integer({ minimum: 100, description: "milliseconds, 100 or more" }),
    stop_grace_ms: Type.Integer({
      minimum: 0,
      maximum: 25_000,
      description: "milliseconds, 0 to 25000",
    }),
  }),
  mqtt: group({
    host: Host,
    port: Port,
    payload_limit: Type.Integer({ minimum: 1024, description: "bytes, 1024 or more" }),
  }),
  tls: group({
    profiles: Type.Array(Type.Integer({ minimum: 0, maximum: 12, description: "0 to 12" }), {
      minItems: 1,
      uniqueItems: true,
      description: "a list of profile numbers, 0 to 12",
    }),
    host_names: Type.Array(Host, { minItems: 1, description: "a list of names or addresses" }),
    handshake_timeout_ms: Type.Integer({ minimum: 100, description: "milliseconds, 100 or more" }),
  }),
  trust: group({
    mode: Type.Union([Type.Literal("development"), Type.Literal("production")], {
      description: "development or production",
    }),
    passphrase_file: Type.String({ description: "empty, or a file" }),
    passphrase: Type.String({ description: "empty, or a passphrase", writeOnly: true }),
    timestamp_h: Hours,
    snapshot_h: Hours,
    director_h: Hours,
    renew_before: Type.Number({ minimum: 0.01, maximum: 0.99, description: "0.01 to 0.99" }),
    warn_before_d: Days,
  }),
  certificates: group({
    vehicle_days: Days,
    crl_h: Type.Number({ exclusiveMinimum: 0, description: "hours, more than 0" }),
    poll_ms: Type.Integer({ minimum: 10, maximum: 60_000, description: "10 to 60000" }),
  }),
  operators: group({
    access_min: Type.Number({ minimum: 1, maximum: 1440, description: "minutes, 1 to 1440" }),
    idle_h: Hours,
    session_h: Hours,
    password_min: Type.Integer({ minimum: 8, maximum: 128, description: "8 to 128 characters" }),
    temporary_password_h: Hours,
    logins_per_minute: Type.Integer({ minimum: 1, maximum: 100_000, description: "1 to 100000" }),
  }),
  oidc: group({
    issuer: Type.String({
      // In the clear only from this machine itself.
      pattern: "^$|^https://|^http://(localhost|127\\.0\\.0\\.1|\\[::1\\])(:\\d+)?(/|$)",
      description: "empty, or https://…",
    }),
    audience: TokenAudience,
    client_id: TokenAudience,
    name_claim: Type.String({ minLength: 1, description: "a claim" }),
    role_claim: Type.String({ minLength: 1, description: "a claim" }),
    roles: Type.Record(Type.String(), RoleName, { description: "value of the claim: role" }),
    levels: Type.Record(Type.String(), LevelName, { description: "value of the claim: level" }),
    vouched_h: Hours,
    clock_tolerance_s: Type.Integer({ minimum: 0, maximum: 300, description: "0 to 300" }),
  }),
  database: group({
    url: Type.String({
      pattern: "^$|^postgres(ql)?://",
      description: "empty, or postgres://…",
      // It may hold a password.
      writeOnly: true,
    }),
    pool_size: Type.Integer({ minimum: 1, maximum: 200, description: "1 to 200" }),
  }),
  firmware: group({
    max_size: Type.Integer({ minimum: 1, description: "bytes" }),
    compression_level: Type.Integer({ minimum: 1, maximum: 19, description: "1 to 19" }),
  }),
  packages: group({
    ttl_h: Type.Number({ exclusiveMinimum: 0, description: "hours, more than 0" }),
    downloads_per_vehicle: Type.Integer({ minimum: 1, description: "1 or more" }),
  }),
  updates: group({
    silence_timeout_min: Type.Number({ exclusiveMinimum: 0, description: "minutes, more than 0" }),
    install_deadline_min: Type.Number({ exclusiveMinimum: 0, description: "minutes, more than 0" }),
  }),
  vehicles: group({
    offline_after_s: Type.Number({ exclusiveMinimum: 0, description: "seconds, more than 0" }),
  }),
  diagnostics: group({
    timeout_ms: Type.Integer({ minimum: 100, maximum: 60_000, description: "100 to 60000" }),
    tries: Type.Integer({ minimum: 1, maximum: 10, description: "1 to 10" }),
    ttl_s: WaitSeconds,
    change_ttl_s: WaitSeconds,
    catalogue_dir: Type.String({ description: "empty, or a folder" }),
    approval_ttl_s: Type.Integer({ minimum: 60, maximum: 604_800, description: "60 to 604800" }),
    session_max_s: Type.Integer({ minimum: 1, maximum: 86_400, description: "1 to 86400" }),
    key_plugin: Type.String({ description: "empty, or a file" }),
    session_lease_s: Type.Integer({ minimum: 3, maximum: 3600, description: "3 to 3600" }),
  }),
  campaigns: group({
    approval: Type.Boolean({ description: "true or false" }),
    max_active: Type.Integer({ minimum: 1, maximum: 1000, description: "1 to 1000" }),
  }),
  policies: group({ default: PolicySettings }),
  commands: group({ ttl_s: Type.Integer({ minimum: 1, description: "seconds, 1 or more" }) }),
  telemetry: group({
    batch_size: Type.Integer({ minimum: 1, maximum: 10_000, description: "1 to 10000" }),
    limits: Type.Record(Type.String(), Limit, { description: "signal: { min, max }" }),
    deviation: group({
      window: Type.Integer({ minimum: 8, maximum: 1000, description: "8 to 1000 samples" }),
      min_samples: Type.Integer({ minimum: 4, maximum: 1000, description: "4 to 1000 samples" }),
      threshold: Type.Number({ exclusiveMinimum: 0, description: "a number above 0" }),
    }),
  }),
  events: group({
    poll_ms: Type.Integer({ minimum: 10, maximum: 60_000, description: "10 to 60000" }),
  }),
  webhooks: group({
    allow_private: Type.Boolean({ description: "true or false" }),
    timeout_ms: Type.Integer({ minimum: 100, maximum: 60_000, description: "100 to 60000" }),
    concurrency: Type.Integer({ minimum: 1, maximum: 64, description: "1 to 64" }),
    attempts: Type.Integer({ minimum: 1, maximum: 100, description: "1 to 100" }),
    retry_first_s: Type.Integer({ minimum: 1, maximum: 3600, description: "1 to 3600" }),
    retry_max_s: Type.Integer({ minimum: 1, maximum: 86_400, description: "1 to 86400" }),
  }),
  maintenance: group({
    interval_s: Type.Number({ exclusiveMinimum: 0, description: "seconds, more than 0" }),
  }),
  retention: group({
    telemetry_days: Days,
    anomalies_days: Days,
    vci_days: Days,
    update_events_days: Days,
    events_days: Days,
    diagnostics_days: Days,
    commands_days: Days,
    certificates_days: Days,
  }),
  log: LogConfig,
});
export type ServerConfig = Static<typeof ServerConfig>;

/**
 * Loads `config/server.yaml` (or `LATTICEWAY_CONFIG`) with overrides from the environment.
 * @throws ConfigError
 */
export function loadServerConfig(env: NodeJS.ProcessEnv = process.env): ServerConfig {
  const file = env["LATTICEWAY_CONFIG"] || join(import.meta.dirname, "server.yaml");
  const config = loadConfig({
    schema: ServerConfig,
    file,
    prefix: "LATTICEWAY",
    aliases: { DATABASE_URL: "database.url" },
    reserved: [
      "LATTICEWAY_CONFIG",
      "LATTICEWAY_URL",
      "LATTICEWAY_TOKEN",
      "LATTICEWAY_CA",
      "LATTICEWAY_REQUIRE",
      "LATTICEWAY_TEST_POSTGRES",
      "LATTICEWAY_PEERS",
    ],
    env,
  });
  const problem = oidcProblem(config.oidc);
  if (problem !== undefined) throw new ConfigError(file, [problem]);
  return config;
}

function oidcProblem({ issuer, audience, client_id }: ServerConfig["oidc"]): string | undefined {
  if (issuer === "") return undefined;
  if (audience === "" && client_id === "") {
    return "oidc.audience: is empty, as oidc.client_id: no token of oidc.issuer would be taken";
  }
  if (audience !== client_id) return undefined;
  // Whoever has an ID token of somebody, another client say, could call with it.
  return `oidc.audience: got ${JSON.stringify(audience)}, as oidc.client_id: an ID token would be good as an access token`;
}
