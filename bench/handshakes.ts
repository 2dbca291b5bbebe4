import { comparison, type BenchContext, type Figure } from "./figure.ts";
import { startGateway } from "./gateway.ts";
import { startNginx, type Server } from "./nginx.ts";
import { cpuSeconds } from "./proc.ts";
import { CLIENTS, handshakes } from "./s-time.ts";
import { alternate, sampleOf } from "./sample.ts";

const LEAST_RATIO = 0.9;

/** Full mTLS handshakes a second, of the HTTPS listener and of nginx. @throws PeerMissing */
export async function measureHandshakes({ workspace, quick, say }: BenchContext): Promise<Figure> {
  const root = workspace.place("www");
  await using nginx = await startNginx(workspace, root);
  await using gateway = await startGateway(workspace);
  const seconds = quick ? 2 : 6;
  const [vehicle] = workspace.vehicles;
  if (vehicle === undefined) throw new Error("the workspace has no vehicles");
  const issuer = workspace.vehicleIssuer;
  const groups = "X25519MLKEM768";
  const client = { vehicle, issuer, groups, signatures: "ecdsa_secp256r1_sha256" };
  const wallClock: Record<string, number[]> = { gateway: [], nginx: [] };
  const busy: Record<string, number[]> = { gateway: [], nginx: [] };
  const side = (name: string, server: Server) => async () => {
    const before = cpuSeconds(server.pid);
    const { total, elapsed } = await handshakes(workspace, {
      ...client,
      port: server.port,
      seconds,
    });
    const used = cpuSeconds(server.pid) - before;
    wallClock[name]?.push(total / elapsed);
    busy[name]?.push(used / elapsed);
    const facts = `${(total / elapsed).toFixed(0)}/s, server core ${percent(used / elapsed)} busy`;
    say(`  ${name}: ${facts}, ${(total / used).toFixed(0)} per second of it`);
    return total / used;
  };
  // The first handshakes find cold code.
  await handshakes(workspace, { ...client, port: gateway.port, seconds: quick ? 1 : 3 });
  await handshakes(workspace, { ...client, port: nginx.port, seconds: 1 });
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

function percent(part: number): string {
  return `${(part * 100).toFixed(0)}%`;
}
