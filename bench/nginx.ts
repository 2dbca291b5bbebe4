import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { start } from "./child.ts";
import { insidePeers } from "./peers.ts";
import { freePort, isListening, until } from "./until.ts";
import type { Workspace } from "./workspace.ts";

/** A running server: ours or a peer's. */
export interface Server {
  pid: number;
  port: number;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Starts nginx with one worker: TLS 1.3, the same certificates, group and roots as the gateway,
 * client certificates demanded, everything else as by default (session tickets on, two for each
 * handshake, as Node sends; access log on, as the gateway logs each request).
 * @throws PeerMissing
 */
export async function startNginx(workspace: Workspace, root: string): Promise<Server> {
  const peers = insidePeers();
  const place = workspace.place("nginx");
  const port = await freePort();
  const inside = (file: string) => peers.path(join(place, file));
  writeFileSync(
    join(place, "nginx.conf"),
    `
daemon off;
user root;
worker_processes 1;
pid ${inside("nginx.pid")};
error_log ${inside("error.log")};
events { worker_connections 1024; }
http {
  access_log ${inside("access.log")};
  sendfile on;
  client_body_temp_path ${inside("body")};
  proxy_temp_path ${inside("proxy")};
  fastcgi_temp_path ${inside("fastcgi")};
  uwsgi_temp_path ${inside("uwsgi")};
  scgi_temp_path ${inside("scgi")};
  server {
    listen 127.0.0.1:${port} ssl backlog=511;
    ssl_protocols TLSv1.3;
    ssl_ecdh_curve X25519MLKEM768:SecP256r1MLKEM768;
    ssl_certificate ${peers.path(workspace.server.certificate)};
    ssl_certificate_key ${peers.path(workspace.server.key)};
    ssl_client_certificate ${peers.path(workspace.vehicleRoot)};
    ssl_verify_client on;
    ssl_verify_depth 3;
    root ${peers.path(root)};
  }
}
`,
  );
  const output = openSync(join(place, "output.log"), "w");
  const child = start(peers.command("nginx", "-c", inside("nginx.conf")), {
    core: "server",
    output,
  });
  closeSync(output);
  await until("nginx", () => isListening(port));
  return { pid: child.pid, port, [Symbol.asyncDispose]: () => child.stop() };
}
