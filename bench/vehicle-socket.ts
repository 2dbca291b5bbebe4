import { readFileSync } from "node:fs";
import { connect, type TLSSocket } from "node:tls";
import { clientTlsOptions } from "#crypto/tls.ts";

/** Where vehicles connect to, and with what. */
export interface VehicleSide {
  port: string;
  /** File with the root of the servers' certificates. */
  ca: string;
  /** Folder with the vehicles' certificates and keys. */
  certificates: string;
}

/** A TLS connection of a vehicle, shaken hands. */
export async function vehicleSocket(
  { port, ca, certificates }: VehicleSide,
  vin: string,
): Promise<TLSSocket> {
  const file = (suffix: string) =>
    readFileSync(`${certificates}/${vin}.ecdsa-p256.${suffix}`, "utf8");
  const socket = connect({
    host: "127.0.0.1",
    port: Number(port),
    ...clientTlsOptions({
      profile: 2,
      ca: readFileSync(ca, "utf8"),
      identity: { algorithm: "ecdsa-p256", key: file("key"), chain: file("pem") },
    }),
  });
  socket.setNoDelay(true);
  await new Promise((done, fail) => socket.once("secureConnect", done).once("error", fail));
  return socket;
}
