import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { expect, it, onTestFinished } from "vitest";
import { serverFiles } from "#crypto/pki-layout.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { testDatabase } from "#test/helpers/test-database.ts";

it("SIGHUP has a gateway read its certificates and its catalogue again, and never ends it", async () => {
  const folder = testFolder();
  const database = await testDatabase(join(folder, "data"));
  onTestFinished(() => database.drop());
  const certs = join(folder, "certs");
  const catalogue = join(folder, "battery.yaml");
  writeFileSync(catalogue, "ecu_type: battery-controller\n");
  const child = spawn(process.execPath, ["server/main.ts"], {
    env: {
      PATH: process.env["PATH"],
      LATTICEWAY_DATA_DIR: join(folder, "data"),
      LATTICEWAY_CERTS_DIR: certs,
      LATTICEWAY_DIAGNOSTICS_CATALOGUE_DIR: folder,
      LATTICEWAY_HTTPS_HOST: "127.0.0.1",
      LATTICEWAY_HTTPS_PORT: "0",
      LATTICEWAY_MQTT_HOST: "127.0.0.1",
      LATTICEWAY_MQTT_PORT: "0",
      LATTICEWAY_LOG_FORMAT: "json",
      DATABASE_URL: database.url,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const told = text(child.stderr);
  const log: string[] = [];
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const logged = async (wanted: string) => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done === true) throw new Error(`the gateway ended without: ${wanted}`);
      log.push(value);
      if (value.includes(wanted)) return;
    }
  };
  await logged("OTA Server Running");
  child.kill("SIGHUP");
  await logged("SIGHUP: reading the certificates and the diagnostic catalogue again");
  await logged("Diagnostic catalogue read again: 1 types of ECUs");
  await logged("Certificates read again");
  writeFileSync(catalogue, "ecu_type: 7\n");
  writeFileSync(serverFiles(certs, "ecdsa-p256").certificate, "broken");
  child.kill("SIGHUP");
  await logged("The diagnostic catalogue is kept as it was");
  await logged("those before stay in use");
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  expect(await ended).toEqual([0, null]);
  // Of the first start, for whoever sees it; the log is kept.
  const [, password = ""] = /First account: admin\nPassword: +(\S{20,})\n/.exec(await told) ?? [];
  expect(password).not.toBe("");
  expect(log.join()).not.toContain(password);
});
