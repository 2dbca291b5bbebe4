import { lookup } from "node:dns/promises";
import type { ServerConfig } from "#config/server.ts";
import type { Http } from "./http.ts";

/**
 * Opens the listener, on one address. Given the name `localhost`, Fastify would open another server
 * for each further address that it has, which nobody watches and which keeps the certificates that it
 * began with.
 * @returns the port
 * @throws the system's error for a host that is unknown or a port that is taken
 */
export async function openListener(
  http: Http,
  { host, port }: Pick<ServerConfig["https"], "host" | "port">,
): Promise<number> {
  const { address } = await lookup(host);
  await http.listen({ host: address, port });
  const bound = http.server.address();
  return typeof bound === "object" && bound !== null ? bound.port : port;
}
