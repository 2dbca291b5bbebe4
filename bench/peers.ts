import { existsSync } from "node:fs";
import { join } from "node:path";

/** A peer that is not installed: its ratio can't be measured. */
export class PeerMissing extends Error {
  readonly code = "PEER_MISSING";

  constructor(name: string, install: string) {
    super(`${name} is missing: ${install}`);
    this.name = "PeerMissing";
  }
}

const DEFAULT_FOLDER = "/tmp/latticeway-peers";

/** Root of the Debian system that `bench/peers.sh` makes; undefined when there is none. */
export function peersFolder(): string | undefined {
  const folder = process.env["LATTICEWAY_PEERS"] ?? DEFAULT_FOLDER;
  return existsSync(join(folder, "usr/bin/openssl")) ? folder : undefined;
}

/**
 * The command that runs a program of that system, and the name that one of our files has there.
 * @throws PeerMissing
 */
export function insidePeers(): {
  command(program: string, ...args: string[]): string[];
  path(file: string): string;
} {
  const folder = peersFolder();
  if (folder === undefined || process.getuid?.() !== 0) {
    throw new PeerMissing("nginx, mosquitto and openssl 3.5", "run `bench/peers.sh` as root");
  }
  return {
    command: (program, ...args) => ["chroot", folder, program, ...args],
    path: (file) => file.slice(folder.length),
  };
}
