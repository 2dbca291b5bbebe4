import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { start } from "./child.ts";
import type { Server } from "./nginx.ts";
import { insidePeers } from "./peers.ts";
import { freePort, isListening, until } from "./until.ts";
import type { Workspace } from "./workspace.ts";

/**
 * Starts mosquitto without any storage: TLS 1.3 with the gateway's certificate, client certificates
 * demanded. @throws PeerMissing
 */
export async function startMosquitto(workspace: Workspace): Promise<Server> {
  const peers = insidePeers();
  const place = workspace.place("mosquitto");
  const port = await freePort();
  const config = join(place, "mosquitto.conf");
  writeFileSync(
    config,
    `
user root
persistence false
log_type error
listener ${port} 127.0.0.1
tls_version tlsv1.3
cafile ${peers.path(workspace.vehicleRoot)}
certfile ${peers.path(workspace.server.certificate)}
keyfile ${peers.path(workspace.server.key)}
require_certificate true
use_identity_as_username true
`,
  );
  const output = openSync(join(place, "output.log"), "w");
  const child = start(peers.command("mosquitto", "-c", peers.path(config)), { output });
  closeSync(output);
  await until("mosquitto", () => isListening(port));
  return { pid: child.pid, port, [Symbol.asyncDispose]: () => child.stop() };
}
