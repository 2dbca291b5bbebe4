import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { run } from "./child.ts";
import { comparison, type BenchContext, type Figure } from "./figure.ts";
import { startGateway } from "./gateway.ts";
import { startNginx, type Server } from "./nginx.ts";
import { insidePeers } from "./peers.ts";
import { cpuSeconds } from "./proc.ts";
import { alternate, sampleOf } from "./sample.ts";
import type { Workspace } from "./workspace.ts";

/** Clients at once: enough that the server always has a handshake to go on with. */
const CLIENTS = 12;
const LEAST_RATIO = 0.9;

/** Full mTLS handshakes a second, of the HTTPS listener and of nginx. @throws PeerMissing */
export async function measureHandshakes({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const root = workspace.place("www");
  await using nginx = await startNginx(workspace, root);
  await using gateway = await startGateway(workspace);
  const seconds = quick ? 2 : 6;
  const wallClock: Record<string, number[]> = { gateway: [], nginx: [] };
  const busy: Record<string, number[]> = { gateway: [], nginx: [] };
  const side = (name: string, server: Server) => async () => {
    const before = cpuSeconds(server.pid);
    const { total, elapsed } = await handshakes(workspace, server.port, seconds);
    const used = cpuSeconds(server.pid) - before;
    wallClock[name]?.push(total / elapsed);
    busy[name]?.push(used / elapsed);
    const facts = `${(total / elapsed).toFixed(0)}/s, server core ${percent(used / elapsed)} busy`;
    say(`  ${name}: ${facts}, ${(total / used).toFixed(0)} per second of it`);
    return total / used;
  };
  // The first handshakes find cold code.
  await handshakes(workspace, gateway.port, quick ? 1 : 3);
  await handshakes(workspace, nginx.port, 1);
  const runs = await alternate(quick ? 2 : 7, {
    gateway: side("gateway", gateway),
    nginx: side("nginx", nginx),
  });
  if (/certificate refused/i.test(gateway.log())) throw new Error("the gateway refused the client");
  const load = (name: string) => percent(sampleOf(busy[name] ?? []).median);
  const peer = (values: readonly number[]) => ({ name: "nginx", runs: values });
  return {
    title: "Full mTLS handshakes",
    notes: [
      `nginx with one worker. Both: TLS 1.3, X25519MLKEM768, ECDSA P-256, the client's certificate and its issuer verified up to the root, no resumption, two session tickets sent after each handshake (the default of both), no certificate compression. Client of both: ${CLIENTS} processes of Debian's \`openssl s_time -new\` (3.5), which connect, finish the handshake and close.`,
      `Server and clients have a core of their own. The first line counts the seconds that the server's process (all threads) used, so that a client that is too slow, or another process on the machine, does not flatter anyone; the second is the clock on the wall, with the server's core ${load("gateway")} (gateway) and ${load("nginx")} (nginx) busy: below 100% it measures the client and whatever else runs, not the server.`,
      "The gateway writes a log line and counts a metric for every handshake; nginx writes nothing for a connection without a request.",
    ],
    rows: [
      comparison("mTLS handshakes", "/core-s", runs.gateway, peer(runs.nginx), LEAST_RATIO),
      comparison("by the clock", "/s", wallClock["gateway"] ?? [], peer(wallClock["nginx"] ?? [])),
    ],
  };
}

async function handshakes(
  workspace: Workspace,
  port: number,
  seconds: number,
): Promise<{ total: number; elapsed: number }> {
  const peers = insidePeers();
  const config = join(workspace.place("client"), "openssl.cnf");
  writeFileSync(config, OPENSSL_CONFIG);
  const [vehicle] = workspace.vehicles;
  if (vehicle === undefined) throw new Error("the workspace has no vehicles");
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
    peers.path(workspace.vehicleIssuer),
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
const OPENSSL_CONFIG = `
openssl_conf = defaults
[defaults]
ssl_conf = modules
[modules]
system_default = tls
[tls]
Groups = X25519MLKEM768
Options = -TxCertificateCompression,-RxCertificateCompression
`;

/** `s_time` counts whole seconds of the clock: start with one. */
function nextSecond(): Promise<void> {
  return new Promise((done) => setTimeout(done, 1000 - (Date.now() % 1000)));
}

function connections(output: string): number {
  const count = /(\d+) connections in \d+ real seconds/.exec(output)?.[1];
  if (count === undefined) throw new Error(`s_time did not finish:\n${output}`);
  return Number(count);
}

function percent(part: number): string {
  return `${(part * 100).toFixed(0)}%`;
}
