import { spawnSync } from "node:child_process";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { insidePeers, PeerMissing } from "./peers.ts";
import { postgresqlFolder } from "./postgresql.ts";

/** The machine and the versions that figures are measured with, a line each. */
export function describeMachine(): string[] {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const postgresql = postgresqlFolder();
  return [
    `${cpu?.model.trim() ?? "unknown processor"}, ${cpus().length} cores, ${memory} GiB, ${process.platform} ${release()}`,
    `Node ${process.versions.node} (OpenSSL ${process.versions.openssl})`,
    ...peerVersions(),
    ...(postgresql === undefined ? [] : firstLine([join(postgresql, "postgres"), "--version"])),
  ];
}

function peerVersions(): string[] {
  try {
    const { command } = insidePeers();
    return [
      ...firstLine(command("nginx", "-v")),
      ...firstLine(command("openssl", "version")),
      ...firstLine(command("mosquitto", "-h")),
      ...firstLine(command("curl", "--version")),
    ];
  } catch (error) {
    if (error instanceof PeerMissing) return [];
    throw error;
  }
}

/** What a program says of its version; nothing when it can't be run. */
function firstLine([program = "", ...args]: readonly string[]): string[] {
  const { stdout, stderr } = spawnSync(program, args, { encoding: "utf8" });
  const [line = ""] = `${stdout}${stderr}`.split("\n");
  return line === "" ? [] : [line.trim()];
}
