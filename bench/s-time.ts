import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { CertificateFiles } from "#crypto/pki-layout.ts";
import { run } from "./child.ts";
import { insidePeers } from "./peers.ts";
import type { Workspace } from "./workspace.ts";

/** Clients at once: enough that the server always has a handshake to go on with. */
export const CLIENTS = 12;

export interface Handshaking {
  port: number;
  seconds: number;
  vehicle: CertificateFiles;
  /** The authority between the vehicle's certificate and its root. */
  issuer: string;
  /** OpenSSL's names, colons between. */
  groups: string;
  signatures: string;
}

/**
 * Full handshakes by Debian's `openssl s_time`, as many as there are in so many seconds.
 * @throws PeerMissing
 */
export async function handshakes(
  workspace: Workspace,
  { port, seconds, vehicle, issuer, groups, signatures }: Handshaking,
): Promise<{ total: number; elapsed: number }> {
  const peers = insidePeers();
  const config = join(workspace.place("client"), "openssl.cnf");
  writeFileSync(config, opensslConfig(groups, signatures));
  const command = peers.command(
    "openssl",
    "s_time",
    "-new",
    "-connect",
    `127.0.0.1:${port}`,
    "-cert",
    peers.path(vehicle.certificate),
    "-key",
    peers.path(vehicle.key),
    // `s_time` sends the first certificate of a file only: it finds the issuer's here.
    "-CAfile",
    peers.path(issuer),
    "-no-CApath",
    "-no-CAstore",
    "-time",
    String(seconds),
  );
  const env = { PATH: process.env["PATH"], OPENSSL_CONF: peers.path(config) };
  await nextSecond();
  const results = await Promise.all(
    Array.from({ length: CLIENTS }, () => run(command, { core: "client", env })),
  );
  const elapsed = Math.max(...results.map((result) => result.seconds));
  return { total: results.reduce((sum, { output }) => sum + connections(output), 0), elapsed };
}

/**
 * What `s_time` has no options for: without it, it sends a classical key share beside the hybrid
 * one, and compresses its certificate for a server that can read that (nginx, not Node).
 */
function opensslConfig(groups: string, signatures: string): string {
  return `
openssl_conf = defaults
[defaults]
ssl_conf = modules
[modules]
system_default = tls
[tls]
Groups = ${groups}
SignatureAlgorithms = ${signatures}
Options = -TxCertificateCompression,-RxCertificateCompression
`;
}

/** `s_time` counts whole seconds of the clock: start with one. */
function nextSecond(): Promise<void> {
  return new Promise((done) => setTimeout(done, 1000 - (Date.now() % 1000)));
}

function connections(output: string): number {
  const count = /(\d+) connections in \d+ real seconds/.exec(output)?.[1];
  if (count === undefined) throw new Error(`s_time did not finish:\n${output}`);
  return Number(count);
}
