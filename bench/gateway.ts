import { closeSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { start } from "./child.ts";
import { until } from "./until.ts";
import type { Server } from "./nginx.ts";
import type { Workspace } from "./workspace.ts";

export interface Gateway extends Server {
  mqttPort: number;
  /** Bearer token of an administrator. */
  token: string;
  log(): string;
}

const repository = fileURLToPath(new URL("..", import.meta.url));

/** Starts the gateway as `npm start` does, with its log in a file, on ports of its own. */
export async function startGateway(
  workspace: Workspace,
  options: {
    name?: string;
    databaseUrl?: string;
    anyCore?: boolean;
    profiles?: number[];
    env?: Record<string, string>;
  } = {},
): Promise<Gateway> {
  const place = workspace.place(options.name ?? "gateway");
  const logFile = join(place, "gateway.log");
  const output = openSync(logFile, "w");
  const child = start([process.execPath, ...startArguments()], {
    ...(options.anyCore === true ? {} : { core: "server" }),
    output,
    cwd: repository,
    env: {
      PATH: process.env["PATH"],
      LATTICEWAY_DATA_DIR: join(place, "data"),
      LATTICEWAY_CERTS_DIR: workspace.certs,
      LATTICEWAY_HTTPS_HOST: "127.0.0.1",
      LATTICEWAY_HTTPS_PORT: "0",
      LATTICEWAY_MQTT_HOST: "127.0.0.1",
      LATTICEWAY_MQTT_PORT: "0",
      LATTICEWAY_LOG_FORMAT: "json",
      ...(options.profiles && { LATTICEWAY_TLS_PROFILES: JSON.stringify(options.profiles) }),
      ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
      ...options.env,
    },
  });
  closeSync(output);
  const log = () => readFileSync(logFile, "utf8");
  await until("the gateway", () => {
    if (/OTA Server Running/.test(log())) return true;
    if (child.hasEnded()) throw new Error(`the gateway did not start:\n${log()}`);
    return undefined;
  });
  const port = (service: string) =>
    Number(new RegExp(`${service} server started on [^"]*:(\\d+)`).exec(log())?.[1]);
  return {
    pid: child.pid,
    port: port("HTTPS"),
    mqttPort: port("MQTT"),
    token: readFileSync(join(place, "data", "operator.token"), "utf8").trim(),
    log,
    [Symbol.asyncDispose]: () => child.stop(),
  };
}

/** What `npm start` gives to Node. */
function startArguments(): string[] {
  const text = readFileSync(join(repository, "package.json"), "utf8");
  const { scripts } = JSON.parse(text) as { scripts: { start: string } };
  return scripts.start.split(" ").slice(1);
}
