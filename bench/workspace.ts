import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ensureDevelopmentPki, issueVehicleCertificate } from "#crypto/pki.ts";
import { authorityFiles, serverFiles, type CertificateFiles } from "#crypto/pki-layout.ts";
import { peersFolder } from "./peers.ts";

/** Files of one benchmark run, removed when it ends. */
export interface Workspace {
  folder: string;
  certs: string;
  server: CertificateFiles;
  /** Roots of the vehicles' and of the servers' certificates. */
  vehicleRoot: string;
  serverRoot: string;
  /** The authority between the vehicles' root and their certificates. */
  vehicleIssuer: string;
  vehicles: readonly Vehicle[];
  /** A folder of its own for one server. */
  place(name: string): string;
}

export interface Vehicle extends CertificateFiles {
  vin: string;
}

/** Most vehicles that a figure uses at once. */
const VEHICLES = 20;

/** Makes certificates for all sides in a folder that the peers see too. */
export async function createWorkspace(): Promise<Workspace> {
  const peers = peersFolder();
  const folder = mkdtempSync(join(peers === undefined ? tmpdir() : join(peers, "tmp"), "bench-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  // Servers that change their user must still find what is theirs; keys keep their own mode.
  chmodSync(folder, 0o711);
  const certs = join(folder, "certs");
  await ensureDevelopmentPki(certs);
  const vehicles: Vehicle[] = [];
  for (let i = 1; i <= VEHICLES; i++) {
    const vin = `BENCH-${String(i).padStart(3, "0")}`;
    vehicles.push({ vin, ...(await issueVehicleCertificate(certs, { vehicleId: vin })) });
  }
  return {
    folder,
    certs,
    server: serverFiles(certs, "ecdsa-p256"),
    vehicleRoot: authorityFiles(certs, "vehicle", "ecdsa-p256", "root").certificate,
    serverRoot: authorityFiles(certs, "server", "ecdsa-p256", "root").certificate,
    vehicleIssuer: authorityFiles(certs, "vehicle", "ecdsa-p256", "issuing").certificate,
    vehicles,
    place(name) {
      const place = join(folder, name);
      mkdirSync(place, { recursive: true });
      return place;
    },
  };
}
