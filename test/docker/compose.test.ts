import { spawnSync } from "node:child_process";
import { describe, expect, it } from "vitest";
import { join } from "node:path";
import { parse } from "yaml";
import { loadServerConfig } from "#config/server.ts";
import { loadVehicleConfig } from "#config/vehicle.ts";
import { requirePeer } from "#test/helpers/optional.ts";

const repository = join(import.meta.dirname, "../..");

interface Service {
  image: string;
  environment: Record<string, string>;
  volumes: string[];
  ports?: { published: number; target: number }[];
  depends_on?: Record<string, { condition: string }>;
  healthcheck?: { test: string[] };
}

/** What the compose tool makes of docker-compose.yml, with its defaults filled in. */
function resolved(env: Record<string, string> = {}): Record<string, Service> {
  const { status, stdout, stderr } = spawnSync("docker-compose", ["config"], {
    cwd: repository,
    encoding: "utf8",
    env: { PATH: process.env["PATH"], ...env },
  });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return (parse(stdout) as { services: Record<string, Service> }).services;
}

describe("docker-compose.yml", () => {
  it("starts PostgreSQL, then the gateway, then a vehicle, each when the other is well", (context) => {
    requirePeer(context, "docker-compose");
    const { database, gateway, vehicle, ...others } = resolved();
    expect(others).toEqual({});
    expect(database?.healthcheck?.test).toContain("CMD-SHELL");
    expect(gateway?.depends_on).toEqual({ database: { condition: "service_healthy" } });
    expect(vehicle?.depends_on).toEqual({ gateway: { condition: "service_healthy" } });
    expect(gateway?.ports?.map(({ published, target }) => [published, target])).toEqual([
      [8443, 8443],
      [8883, 8883],
    ]);
    const certs = /^certs:/;
    expect(gateway?.volumes).toContainEqual(expect.stringMatching(certs));
    expect(vehicle?.volumes).toContainEqual(expect.stringMatching(certs));
  });

  it("sets only what the gateway and the vehicle know", (context) => {
    requirePeer(context, "docker-compose");
    const { gateway, vehicle } = resolved();
    const server = loadServerConfig(gateway?.environment);
    expect(server.database.url).toBe("postgres://latticeway:latticeway@database:5432/latticeway");
    expect(server.tls.host_names).toContain("gateway");
    const agent = loadVehicleConfig(vehicle?.environment);
    expect(agent.gateway.https_url).toBe(`https://gateway:${server.https.port}`);
    expect(agent.gateway.mqtt_url).toBe(`mqtts://gateway:${server.mqtt.port}`);
  });

  it("gives one password to the database and to the gateway", (context) => {
    requirePeer(context, "docker-compose");
    const { database, gateway } = resolved({ POSTGRES_PASSWORD: "other" });
    expect(database?.environment["POSTGRES_PASSWORD"]).toBe("other");
    expect(gateway?.environment["DATABASE_URL"]).toContain(":other@");
  });
});
