import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { authorityFiles } from "#crypto/pki-layout.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";

export const latticeway = new URL("../../cli/latticeway.js", import.meta.url).pathname;

/** A `latticeway tunnel` of its own process. */
export interface RunningTunnel {
  tcp: number;
  udp: number;
  /** What it has printed. */
  lines: string[];
  /** Ctrl+C. @returns the exit code */
  stop(): Promise<number | null>;
  kill(): void;
}

/** The environment that names a test's gateway to the command. */
export function commandEnvironment(gateway: TestGateway): NodeJS.ProcessEnv {
  return {
    ...process.env,
    LATTICEWAY_URL: gateway.url,
    LATTICEWAY_TOKEN: readFileSync(gateway.app.tokenFile, "utf8").trim(),
    LATTICEWAY_CA: authorityFiles(gateway.config.certs_dir, "server", "ecdsa-p256", "root")
      .certificate,
  };
}

/** Starts a tunnel to a car on free ports. @throws with what it says when it does not start */
export async function startTunnel(
  gateway: TestGateway,
  vin: string,
  ...options: string[]
): Promise<RunningTunnel> {
  const arguments_ = [latticeway, "tunnel", "--vin", vin, "--listen", "127.0.0.1:0", ...options];
  const child = spawn(process.execPath, arguments_, {
    env: commandEnvironment(gateway),
    stdio: ["ignore", "pipe", "pipe"],
  });
  const exited = once(child, "exit") as Promise<[number | null]>;
  const lines: string[] = [];
  const opened = Promise.withResolvers<RegExpExecArray>();
  child.stderr.on("data", (text) => opened.reject(new Error(String(text))));
  createInterface(child.stdout).on("line", (line) => {
    lines.push(line);
    const ports = /TCP (\d+), UDP (\d+)/.exec(line);
    if (ports) opened.resolve(ports);
  });
  const [, tcp, udp] = await opened.promise;
  return {
    tcp: Number(tcp),
    udp: Number(udp),
    lines,
    async stop() {
      child.kill("SIGINT");
      const [code] = await exited;
      return code;
    },
    kill: () => void child.kill("SIGKILL"),
  };
}
