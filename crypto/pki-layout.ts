import { join } from "node:path";
import { CertificateTree } from "./certificate.ts";
import type { KeyAlgorithm } from "./key-algorithm.ts";

/** A certificate (for a leaf: with its issuing certificate behind it) and its private key, PEM. */
export interface CertificateFiles {
  certificate: string;
  key: string;
}

/** Name of the gateway's own certificates. */
const SERVER_NAME = "gateway";

/** Folders below the PKI folder that hold leaf certificates, by tree. */
const LEAF_FOLDERS: Record<CertificateTree, string> = {
  server: "servers",
  vehicle: "vehicles",
  tester: "testers",
  car: "cars",
};

export function authorityFiles(
  folder: string,
  tree: CertificateTree,
  algorithm: KeyAlgorithm,
  level: "root" | "issuing",
): CertificateFiles {
  return pair(join(folder, `${tree}-ca`, algorithm, level));
}

export function serverFiles(folder: string, algorithm: KeyAlgorithm): CertificateFiles {
  return leafFiles(folder, "server", SERVER_NAME, algorithm);
}

/** The algorithm ends the name, so that an id with dots stays unambiguous. */
export function leafFiles(
  folder: string,
  tree: CertificateTree,
  id: string,
  algorithm: KeyAlgorithm,
): CertificateFiles {
  return pair(join(folder, LEAF_FOLDERS[tree], `${id}.${algorithm}`));
}

export function vehicleFiles(
  folder: string,
  vehicleId: string,
  algorithm: KeyAlgorithm,
): CertificateFiles {
  return leafFiles(folder, "vehicle", vehicleId, algorithm);
}

/** Every folder of a PKI that may hold certificates, relative to it. */
export function certificateFolders(algorithms: readonly KeyAlgorithm[]): string[] {
  return [
    ...CertificateTree.flatMap((tree) =>
      algorithms.map((algorithm) => join(`${tree}-ca`, algorithm)),
    ),
    ...Object.values(LEAF_FOLDERS),
  ];
}

function pair(stem: string): CertificateFiles {
  return { certificate: `${stem}.pem`, key: `${stem}.key` };
}
