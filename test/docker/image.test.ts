import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, readFileSync, symlinkSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { expect, it, onTestFinished } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";

const repository = join(import.meta.dirname, "../..");
const dockerfile = readFileSync(join(repository, "Dockerfile"), "utf8").replaceAll("\\\n", "");

/** What the last stage copies from the tree. */
const copied = [
  ...dockerfile.slice(dockerfile.lastIndexOf("\nFROM ")).matchAll(/^COPY (\w.*)$/gm),
].flatMap(([, names = ""]) => names.split(" ").slice(0, -1));

const healthCheck = /^HEALTHCHECK .*? CMD (.+)$/m.exec(dockerfile)?.[1] ?? "";

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

it("the files of the image start a gateway, and its health check tells whether it is well", async () => {
  const folder = testFolder();
  for (const name of copied) {
    cpSync(join(repository, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(repository, "node_modules"), join(folder, "node_modules"));
  const env = {
    PATH: `${dirname(process.execPath)}:${process.env["PATH"]}`,
    NODE_ENV: "production",
    LATTICEWAY_DATA_DIR: join(folder, "data"),
    LATTICEWAY_CERTS_DIR: join(folder, "pki"),
    LATTICEWAY_HTTPS_PORT: String(await freePort()),
    LATTICEWAY_MQTT_PORT: "0",
  };
  const isWell = () => spawnSync("sh", ["-c", healthCheck], { cwd: folder, env }).status === 0;
  expect(isWell()).toBe(false);

  const gateway = spawn("node", ["server/main.ts"], { cwd: folder, env, stdio: "pipe" });
  onTestFinished(() => void gateway.kill("SIGKILL"));
  let log = "";
  for await (const line of createInterface({ input: gateway.stdout })) {
    log += `${line}\n`;
    if (line.includes("OTA Server Running")) break;
  }
  expect(log).toContain("OTA Server Running");
  expect(isWell()).toBe(true);

  gateway.kill("SIGTERM");
  expect(await once(gateway, "exit")).toEqual([0, null]);
});
