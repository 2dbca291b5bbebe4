import { join } from "node:path";
import { run } from "./child.ts";
import { comparison, type BenchContext, type Figure } from "./figure.ts";
import { openFleet, vciOf } from "./fleet.ts";
import { startGateway, type Gateway } from "./gateway.ts";
import { startNginx } from "./nginx.ts";
import { insidePeers } from "./peers.ts";
import { cpuSeconds, residentBytes, resetPeak } from "./proc.ts";
import { alternate, sampleOf } from "./sample.ts";
import type { Vehicle, Workspace } from "./workspace.ts";

const MIB = 1024 * 1024;
const CROWD = 10;
const LEAST_RATIO = 1;
const MOST_GROWTH_MB = 100;

/** A package served by the gateway and, as a file, by nginx. */
interface Served {
  workspace: Workspace;
  bytes: number;
  gatewayUrl: string;
  nginxUrl: string;
}

/**
 * Megabytes a second of a package download, of the gateway and of nginx, for one vehicle and for
 * ten; and how far the gateway's memory grows meanwhile. @throws PeerMissing
 */
export async function measureDownloads({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const www = workspace.place("www");
  await using nginx = await startNginx(workspace, www);
  await using gateway = await startGateway(workspace);
  const started = residentBytes(gateway.pid).now;
  const vehicles = workspace.vehicles.slice(0, CROWD);
  const { path, bytes } = await publishPackage(gateway, workspace, quick ? 128 : 1024);
  const served: Served = {
    workspace,
    bytes,
    gatewayUrl: `https://127.0.0.1:${gateway.port}${path}`,
    nginxUrl: `https://127.0.0.1:${nginx.port}/package.tar`,
  };
  // This makes nginx's file, and warms the gateway up.
  await download(served, served.gatewayUrl, vehicles.slice(0, 1), join(www, "package.tar"));
  const idle = residentBytes(gateway.pid).now;
  resetPeak(gateway.pid);

  const rounds = quick ? 2 : 5;
  const race = async (crowd: readonly Vehicle[]) => {
    const perCore: Record<string, number[]> = { gateway: [], nginx: [] };
    const side = (name: string, url: string, pid: number) => async () => {
      const before = cpuSeconds(pid);
      const { rate, seconds } = await download(served, url, crowd);
      const busy = (cpuSeconds(pid) - before) / seconds;
      perCore[name]?.push(rate / busy);
      const facts = `${rate.toFixed(0)} MB/s, server core ${(busy * 100).toFixed(0)}% busy`;
      say(`  ${crowd.length} × ${name}: ${facts}`);
      return rate;
    };
    const byClock = await alternate(rounds, {
      gateway: side("gateway", served.gatewayUrl, gateway.pid),
      nginx: side("nginx", served.nginxUrl, nginx.pid),
    });
    const peer = (runs: readonly number[] = []) => ({ name: "nginx", runs });
    const who = crowd.length === 1 ? "1 vehicle" : `${crowd.length} vehicles`;
    return [
      comparison(`download, ${who}`, "MB/s", byClock.gateway, peer(byClock.nginx), LEAST_RATIO),
      comparison("per core", "MB/core-s", perCore["gateway"] ?? [], peer(perCore["nginx"])),
    ];
  };
  const crowd = await race(vehicles);
  const growth = (residentBytes(gateway.pid).peak - idle) / 1e6;
  say(`  memory: ${(idle / 1e6).toFixed(0)} MB idle, ${growth.toFixed(0)} MB more at the most`);
  const one = await race(vehicles.slice(0, 1));
  return {
    title: "Package download",
    notes: [
      `A package of ${Math.round(bytes / MIB)} MiB over TLS 1.3 with a client certificate (TLS_AES_256_GCM_SHA384), from the page cache. nginx with one worker, \`sendfile on\` (without kernel TLS, as Debian ships it) and its default buffers, serves the same file. Client of both: Debian's curl, a process for each vehicle, writing nowhere. Server and clients have a core of their own.`,
      "Decrypting and copying keeps the clients' core busier than the server's: by the clock, how well a server keeps them fed counts too; the second line of each pair counts only the seconds that the server's process used.",
      `Memory: resident bytes of the gateway, embedded database included, are ${(started / 1e6).toFixed(0)} MB after the start, ${(idle / 1e6).toFixed(0)} MB after the upload and one download; the row is the most over that while ${CROWD} vehicles download at once.`,
    ],
    rows: [
      ...one,
      ...crowd,
      {
        what: `memory growth, ${CROWD} vehicles`,
        unit: "MB",
        ours: sampleOf([growth]),
        asked: { atMost: MOST_GROWTH_MB },
      },
    ],
  };
}

async function publishPackage(
  gateway: Gateway,
  workspace: Workspace,
  mebibytes: number,
): Promise<{ path: string; bytes: number }> {
  const fleet = openFleet(gateway, workspace);
  try {
    await fleet.publish({ ecuType: "bench", version: "2.0.0", bytes: mebibytes * MIB });
    let made = { path: "", bytes: 0 };
    for (const vehicle of workspace.vehicles.slice(0, CROWD)) {
      await fleet.register(vehicle);
      await fleet.submitVci(vehicle, vciOf("ZG-FRONT", ["bench"]));
      const answer = await fleet.requestPackage(vehicle);
      made = { path: answer.download_url, bytes: answer.size };
    }
    return made;
  } finally {
    await fleet.close();
  }
}

async function download(
  { workspace, bytes }: Served,
  url: string,
  vehicles: readonly Vehicle[],
  file?: string,
): Promise<{ rate: number; seconds: number }> {
  const peers = insidePeers();
  const began = performance.now();
  const runs = vehicles.map(async (vehicle) => {
    const { output } = await run(
      peers.command(
        "curl",
        "--silent",
        "--show-error",
        "--fail",
        "--http1.1",
        "--cacert",
        peers.path(workspace.serverRoot),
        "--cert",
        peers.path(vehicle.certificate),
        "--key",
        peers.path(vehicle.key),
        "--output",
        file === undefined ? "/dev/null" : peers.path(file),
        "--write-out",
        "%{size_download}",
        url,
      ),
      { core: "client" },
    );
    if (Number(output) !== bytes) throw new Error(`${url}: got ${output} of ${bytes} bytes`);
  });
  await Promise.all(runs);
  const seconds = (performance.now() - began) / 1000;
  return { rate: (bytes * vehicles.length) / 1e6 / seconds, seconds };
}
