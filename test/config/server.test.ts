import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TObject, TSchema } from "typebox";
import { describe, expect, it } from "vitest";
import { isMap, isScalar, LineCounter, parseDocument, type YAMLMap } from "yaml";
import { ConfigError } from "#config/load.ts";
import { loadServerConfig, ServerConfig } from "#config/server.ts";
import { testFolder } from "#test/helpers/folder.ts";

const shipped = readFileSync(new URL("../../config/server.yaml", import.meta.url), "utf8");

/** Dotted paths of everything in the schema that is not itself a group of keys. */
function leaves(schema: TSchema, path = ""): string[] {
  const { properties } = schema as Partial<TObject>;
  if (properties === undefined) return [path];
  return Object.entries(properties).flatMap(([key, child]) =>
    leaves(child, path === "" ? key : `${path}.${key}`),
  );
}

const settings = leaves(ServerConfig);

interface Key {
  path: string;
  line: number;
  group: boolean;
}

/** The keys of the file down to those that the schema knows, with the line each stands on. */
function keysOf(text: string): Key[] {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter });
  const walk = (map: YAMLMap, prefix: string): Key[] =>
    map.items.flatMap(({ key, value }) => {
      if (!isScalar(key) || !key.range) throw new Error("a key that is no text");
      const path = `${prefix}${String(key.value)}`;
      const group = isMap(value) && !settings.includes(path);
      const own = { path, line: counter.linePos(key.range[0]).line, group };
      return group ? [own, ...walk(value, `${path}.`)] : [own];
    });
  if (!isMap(document.contents)) throw new Error("not a map");
  return walk(document.contents, "");
}

describe("config/server.yaml", () => {
  const keys = keysOf(shipped);
  const lines = shipped.split("\n");

  it("has every setting of the schema, and nothing else", () => {
    expect(settings.length).toBeGreaterThan(30);
    const found = keys.filter((key) => !key.group).map((key) => key.path);
    expect(found.toSorted((a, b) => a.localeCompare(b))).toEqual(
      settings.toSorted((a, b) => a.localeCompare(b)),
    );
  });

  it("explains every setting by a comment above or beside it", () => {
    const bare = keys
      .filter((key) => !key.group)
      .filter(({ line }) => {
        const above = lines[line - 2] ?? "";
        return !above.trim().startsWith("#") && !(lines[line - 1] ?? "").includes(" # ");
      });
    expect(bare).toEqual([]);
  });

  it("is what the gateway starts with", () => {
    const config = loadServerConfig({});
    expect(config.https.port).toBe(8443);
    expect(config.mqtt.port).toBe(8883);
    expect(config.tls.profiles).toEqual([2]);
    expect(config.database.url).toBe("");
    expect(Object.isFrozen(config.telemetry.limits["speed"])).toBe(true);
  });

  it("says in the schema what each setting accepts", () => {
    const described = (schema: TSchema): boolean => {
      const { properties, description } = schema as Partial<TObject> & { description?: string };
      return properties === undefined
        ? description !== undefined
        : Object.values(properties).every((child) => described(child));
    };
    expect(described(ServerConfig)).toBe(true);
  });
});

describe("the gateway's configuration", () => {
  it("comes from the file that LATTICEWAY_CONFIG names", () => {
    const file = join(testFolder(), "mine.yaml");
    writeFileSync(file, shipped.replace("port: 8443", "port: 9443"));
    expect(loadServerConfig({ LATTICEWAY_CONFIG: file }).https.port).toBe(9443);
  });

  it("takes the database from DATABASE_URL", () => {
    const url = "postgres://gateway@db/latticeway";
    expect(loadServerConfig({ DATABASE_URL: url }).database.url).toBe(url);
    expect(() => loadServerConfig({ DATABASE_URL: "mysql://db" })).toThrow(
      /database\.url: got \(hidden\), .*\(accepts empty, or postgres:\/\/…\)/,
    );
  });

  it("keeps the database's password out of every error", () => {
    const file = join(testFolder(), "mine.yaml");
    const load = (text: string) => {
      writeFileSync(file, text);
      return () => loadServerConfig({ LATTICEWAY_CONFIG: file });
    };
    const secret = "postgre://gateway:hunter2@db/latticeway";
    for (const attempt of [
      () => loadServerConfig({ DATABASE_URL: secret }),
      load(shipped.replace('url: ""', `url: ${secret}`)),
      load(shipped.replace('url: ""', `url: "${secret}`)),
      load(shipped.replace('url: ""', `url: "x" "${secret}"`)),
      load(shipped.replace('url: ""', "url: *hunter2")),
      load(`database: ${secret}\n`),
      load(`- ${secret}\n`),
    ]) {
      expect(attempt).toThrow(ConfigError);
      expect(attempt).not.toThrow("hunter2");
    }
    expect(load(shipped.replace('url: ""', 'url: "x'))).toThrow(/is not YAML: .* at line \d+, col/);
  });

  it.each([
    [{ LATTICEWAY_HTTPS_PORT: "65536" }, "https.port"],
    [{ LATTICEWAY_TLS_PROFILES: "[2, 13]" }, "tls.profiles.1"],
    [{ LATTICEWAY_TLS_PROFILES: "[2, 2]" }, "tls.profiles"],
    [{ LATTICEWAY_TLS_PROFILES: "[]" }, "tls.profiles"],
    [{ LATTICEWAY_LOG_LEVEL: "loud" }, "log.level"],
    [{ LATTICEWAY_DIAGNOSTICS_TRIES: "0" }, "diagnostics.tries"],
    [{ LATTICEWAY_TELEMETRY_LIMITS: "{ speed: { most: 3 } }" }, "telemetry.limits.speed.most"],
    [{ LATTICEWAY_HTTP_PORT: "1" }, "LATTICEWAY_HTTP_PORT"],
  ])("names the key of %o", (env, key) => {
    const load = () => loadServerConfig(env);
    expect(load).toThrow(ConfigError);
    expect(load).toThrow(`\n  ${key}: `);
  });

  it.each([
    ["nothing", {}],
    ["anything", { AUDIENCE: '"*"' }],
    ["nothing that can be seen", { AUDIENCE: '" "' }],
    ["what ID tokens are for", { AUDIENCE: "ota", CLIENT_ID: "ota" }],
  ])("takes no tokens of an issuer that are for %s", (_what, oidc) => {
    const issuer = { LATTICEWAY_OIDC_ISSUER: "https://login.example.com" };
    const names = Object.entries(oidc).map(([key, value]) => [`LATTICEWAY_OIDC_${key}`, value]);
    const load = () => loadServerConfig({ ...issuer, ...Object.fromEntries(names) });
    expect(load).toThrow(ConfigError);
    expect(load).toThrow("\n  oidc.audience: ");
    const own = { LATTICEWAY_OIDC_AUDIENCE: "ota", LATTICEWAY_OIDC_CLIENT_ID: "ota-login" };
    expect(loadServerConfig({ ...issuer, ...own }).oidc.audience).toBe("ota");
  });

  it("leaves the names alone that clients and tests use", () => {
    const env = { LATTICEWAY_TOKEN: "t", LATTICEWAY_REQUIRE: "zstd", LATTICEWAY_PEERS: "p" };
    expect(loadServerConfig(env)).toEqual(loadServerConfig({}));
  });
});
