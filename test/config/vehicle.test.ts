import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadVehicleConfig } from "#config/vehicle.ts";

const shipped = new URL("../../config/vehicle.yaml", import.meta.url);

function edited(from: string | RegExp, to: string): NodeJS.ProcessEnv {
  const text = readFileSync(shipped, "utf8");
  const changed = text.replace(from, to);
  expect(changed).not.toBe(text);
  const file = join(mkdtempSync(join(tmpdir(), "vehicle-config-")), "vehicle.yaml");
  writeFileSync(file, changed);
  return { VMG_CONFIG: file };
}

describe("vehicle configuration", () => {
  it("loads what is shipped: two zonal gateways, four ECUs of different types", () => {
    const config = loadVehicleConfig({});
    expect(config.zones.map((zone) => [zone.zone_id, zone.logical_address])).toEqual([
      ["ZG-FRONT", 0x1000],
      ["ZG-REAR", 0x2000],
    ]);
    const ecus = config.zones.flatMap((zone) => zone.ecus);
    expect(ecus.map((ecu) => ecu.ecu_id)).toEqual(["ECU_001", "ECU_002", "ECU_003", "ECU_004"]);
    expect(new Set(ecus.map((ecu) => ecu.ecu_type)).size).toBe(4);
    expect(Object.isFrozen(config.zones[0]?.ecus)).toBe(true);
  });

  it("is overridden by the environment", () => {
    const config = loadVehicleConfig({
      VMG_VEHICLE_ID: "VMG-042",
      VMG_INTERVALS_TELEMETRY_S: "0.5",
      VMG_UDS_SECURITY_SECRETS: '{ "5": "00ff" }',
    });
    expect(config.vehicle.id).toBe("VMG-042");
    expect(config.uds.security_secrets).toEqual({ 5: "00ff" });
    expect(config.intervals.telemetry_s).toBe(0.5);
  });

  it.each([
    [{ VMG_GATEWAY_HTTPS_URL: "http://localhost:8443" }, "gateway.https_url"],
    [{ VMG_GATEWAY_MQTT_URL: "mqtt://localhost" }, "gateway.mqtt_url"],
    [{ VMG_TLS_PROFILE: "13" }, "tls.profile"],
    [{ VMG_VEHICLE_ID: "../x" }, "vehicle.id"],
    [{ VMG_UDS_SECURITY_SECRETS: "{ '1': xyz }" }, "uds.security_secrets"],
    [{ VMG_NOT_A_KEY: "1" }, "VMG_NOT_A_KEY"],
    [{ VMG_UDS_AUTHENTICATION_REQUIRED_FROM: "all" }, "uds.authentication.required_from"],
    [{ VMG_DOIP_EDGE_TLS_PORT: "off" }, "doip.edge.tls_port"],
    [{ VMG_DOIP_EDGE_TLS_MIN_VERSION: "1.1" }, "doip.edge.tls_min_version"],
    [{ VMG_DOIP_EDGE_TLS_TESTERS: "[0]" }, "doip.edge.tls_testers"],
    [{ VMG_DOIP_EDGE_TLS_TESTERS: '["0x0EFF-0x0E80"]' }, "0x0EFF-0x0E80 ends before it begins"],
    [{ VMG_DOIP_EDGE_CLIENT_CERTIFICATES: "true" }, "doip.edge.client_certificates"],
  ])("names the key of %o", (env, key) => {
    expect(() => loadVehicleConfig(env)).toThrow(key);
  });

  it.each(["abc", "0", "'01'", "2", "127", "1000", "-1", "'1 '"])(
    "refuses secrets of a security level that can't be: %s",
    (level) => {
      const env = edited('"3": 4c61', `${level}: 4c61`);
      const key = level.replaceAll("'", "");
      expect(() => loadVehicleConfig(env)).toThrow(
        `uds.security_secrets.${key}: no such key (accepts level, odd from 1 to 125: 1 to 64 bytes in hex)`,
      );
      expect(() => loadVehicleConfig(env)).not.toThrow("4c61");
    },
  );

  it.each(["5", "65", "125", "0x11"])("takes secrets of the security level %s", (level) => {
    const { uds } = loadVehicleConfig(edited('"3": 4c61', `${level}: 4c61`));
    expect(Object.keys(uds.security_secrets)).toContain(String(Number(level)));
  });

  it.each(["{ '1': c0ffe }", "c0ffe"])("does not print secrets: %s", (secrets) => {
    const load = () => loadVehicleConfig({ VMG_UDS_SECURITY_SECRETS: secrets });
    expect(load).toThrow("uds.security_secrets");
    expect(load).not.toThrow("c0ffe");
  });

  it("refuses two ECUs with one id, and two nodes with one address", () => {
    expect(() => loadVehicleConfig(edited("ecu_id: ECU_004", "ecu_id: ECU_001"))).toThrow(
      "ecu_id ECU_001 appears more than once",
    );
    expect(() =>
      loadVehicleConfig(edited("logical_address: 0x2001", "logical_address: 0x1000")),
    ).toThrow("logical_address 4096 appears more than once");
  });

  it("explains every key with a comment", () => {
    const lines = readFileSync(shipped, "utf8").split("\n");
    const keys = lines.filter((line) => /^ {2}[a-z_]+:/.test(line));
    expect(keys.length).toBeGreaterThan(20);
    const bare = keys.filter((key) => !/^ {2}#/.test(lines[lines.indexOf(key) - 1] ?? ""));
    expect(bare).toEqual([]);
  });
});
