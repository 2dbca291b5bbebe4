import type { ConnectionOptions, TlsOptions } from "node:tls";
import { ensureDevelopmentPki, loadServerIdentities, vehicleCa } from "#crypto/pki.ts";
import { signingPairIn } from "#test/helpers/signing-pair.ts";
import { serverTlsOptions } from "#crypto/tls.ts";
import { temporaryFolder } from "#test/helpers/folder.ts";
import { provisionVehicle } from "#vmg-sim/provision.ts";

/** Certificates for a server of the test's own and for one vehicle. */
export interface TestPki {
  server: TlsOptions;
  vehicle: ConnectionOptions;
  remove(): void;
}

export async function testPki(vin: string): Promise<TestPki> {
  const { path, remove } = temporaryFolder();
  await ensureDevelopmentPki(path, { algorithms: ["ecdsa-p256"] });
  await signingPairIn(`${path}/signing`);
  const { tls } = await provisionVehicle(path, vin, 2);
  const server = serverTlsOptions({
    profiles: [2],
    identities: await loadServerIdentities(path),
    clientCa: await vehicleCa(path),
    clientCertificates: "required",
  });
  return { server, vehicle: tls, remove };
}
