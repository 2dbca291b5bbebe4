import { spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A gateway in a process of its own, as `npm start` would start it. */
export interface GatewayProcess {
  https_url: string;
  mqtt_url: string;
  ports: { https: number; mqtt: number };
  logFile: string;
  /** SIGTERM: it finishes what it has accepted. */
  stop(): Promise<void>;
  /** SIGKILL: it is gone at once. */
  kill(): Promise<void>;
}

export interface GatewayOptions {
  folder: string;
  certsDir: string;
  /** Preferred ports; free ones are taken where these are in use. */
  ports: { https: number; mqtt: number };
  /** `postgres://…`; the embedded database in `folder` by default. */
  databaseUrl?: string;
}

/**
 * Starts a gateway, by default on the embedded database in `folder`; its log goes to `gateway.log` there.
 * @throws with the log's last lines when it does not come up
 */
export async function startGatewayProcess({
  folder,
  certsDir,
  ports,
  databaseUrl = "",
}: GatewayOptions): Promise<GatewayProcess> {
  const https = await freePort(ports.https);
  const mqtt = await freePort(ports.mqtt);
  const logFile = join(folder, "gateway.log");
  const child = spawn(process.execPath, [join(import.meta.dirname, "../server/main.ts")], {
    env: {
      ...process.env,
      LATTICEWAY_DATA_DIR: join(folder, "gateway"),
      LATTICEWAY_CERTS_DIR: certsDir,
      LATTICEWAY_HTTPS_PORT: String(https),
      LATTICEWAY_MQTT_PORT: String(mqtt),
      LATTICEWAY_DATABASE_URL: databaseUrl,
      DATABASE_URL: databaseUrl,
      LATTICEWAY_LOG_FORMAT: "json",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const log = createWriteStream(logFile, { flags: "a", mode: 0o600 });
  child.stderr.pipe(log, { end: false });
  const ended = new Promise<void>((done) => child.once("exit", () => done()));
  await new Promise<void>((running, fail) => {
    const lines = createInterface({ input: child.stdout });
    const last: string[] = [];
    lines.on("line", (line) => {
      log.write(`${line}\n`);
      last.push(line);
      if (last.length > 20) last.shift();
      if (line.includes('"OTA Server Running"')) running();
    });
    child.stderr.on("data", (text: Buffer) => last.push(text.toString()));
    void ended.then(() =>
      fail(new Error(`the gateway ended while it started:\n${last.join("\n")}`)),
    );
  });
  const end = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await ended;
    log.end();
  };
  return {
    https_url: `https://localhost:${https}`,
    mqtt_url: `mqtts://localhost:${mqtt}`,
    ports: { https, mqtt },
    logFile,
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
  };
}

function freePort(preferred: number): Promise<number> {
  return tryPort(preferred).catch(() => tryPort(0));
}

function tryPort(port: number): Promise<number> {
  return new Promise((free, taken) => {
    const probe = createServer();
    probe.once("error", taken);
    probe.listen(port, "0.0.0.0", () => {
      const address = probe.address();
      probe.close(() =>
        free(typeof address === "object" && address !== null ? address.port : port),
      );
    });
  });
}
