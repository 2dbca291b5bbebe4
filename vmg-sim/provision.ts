import { createPrivateKey } from "node:crypto";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { carIdentity, testerCa } from "#crypto/diagnostic-pki.ts";
import { HYBRID_ALGORITHMS } from "#crypto/key-algorithm.ts";
import { issueVehicleCertificate, loadVehicleIdentity, serverCa } from "#crypto/pki.ts";
import { PkiError } from "#crypto/pki-error.ts";
import { findProfile } from "#crypto/profiles.ts";
import { readIfPresent } from "#crypto/exclusive-file.ts";
import { keySigner, loadSigningPublicKeys, type Signer } from "#crypto/signing-keys.ts";
import { clientTlsOptions, type TlsIdentity } from "#crypto/tls.ts";
import { keyRecord, trustKeys, type TrustedKeys } from "#protocol/uptane/key.ts";
import type { TrustRoots } from "#vmg-sim/vmg/vehicle-trust.ts";

/** What the factory gives a vehicle. */
export interface Provisioning {
  tls: ConnectionOptions;
  /** With the key of the certificate. */
  signer: Signer;
  trustedKeys: TrustedKeys;
  /** Of the two Uptane repositories; undefined where there are none. */
  roots: TrustRoots | undefined;
  /** Undefined where no testers' root is. */
  diagnostics: DiagnosticProvisioning | undefined;
}

/** What a vehicle has for testers beside it. */
export interface DiagnosticProvisioning {
  /** PEM bundle of the roots that testers' certificates lead to. */
  testerCa: string;
  /** The car's own certificates towards testers, one for each algorithm that it has one for. */
  car: readonly TlsIdentity[];
}

/** The certificates folder lacks something that a vehicle needs. */
export class ProvisioningError extends Error {
  readonly code = "PROVISIONING_INCOMPLETE";

  constructor(folder: string, missing: string) {
    super(
      `${missing}\n` +
        `The gateway makes certificates and keys for development on its first start (\`npm start\`); \`npm run certs\` makes the certificates alone.\n` +
        `On another machine, copy these there: ${folder}/server-ca/*/root.pem, the vehicle's .pem and .key in ` +
        `${folder}/vehicles/, ${folder}/trust/*.root.json and ${signingFolder(folder)}/*.pub.`,
    );
    this.name = "ProvisioningError";
  }
}

/**
 * A vehicle's identity and all that it trusts, from the certificates folder. Where the development
 * authority's key lies there, a missing certificate is issued.
 * @param files the roots of the Uptane repositories, where they are not in their usual place
 * @throws ProvisioningError, PkiError
 */
export async function provisionVehicle(
  folder: string,
  vin: string,
  profileId: number,
  files: RootFiles = { director_root: "", image_root: "" },
): Promise<Provisioning> {
  const algorithm = findProfile(profileId)?.certificate ?? "ecdsa-p256";
  try {
    const ca = await serverCa(folder);
    const identity = await loadVehicleIdentity(folder, vin, algorithm).catch(async (error) => {
      if (!isMissing(error)) throw error;
      await issueVehicleCertificate(folder, { vehicleId: vin, algorithm });
      return loadVehicleIdentity(folder, vin, algorithm);
    });
    const tls = clientTlsOptions({ profile: profileId, identity, ca });
    const signer = keySigner(algorithm, createPrivateKey(identity.key));
    const roots = await trustRoots(folder, files);
    const diagnostics = await provisionDiagnostics(folder, vin);
    return { tls, signer, trustedKeys: await packageKeys(folder), roots, diagnostics };
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new ProvisioningError(folder, `${vin} is not provisioned: ${error.message}.`);
  }
}

async function provisionDiagnostics(
  folder: string,
  vin: string,
): Promise<DiagnosticProvisioning | undefined> {
  const ca = await testerCa(folder).catch(absent);
  if (ca === undefined) return undefined;
  const found = HYBRID_ALGORITHMS.map((algorithm) =>
    carIdentity(folder, vin, algorithm).catch(absent),
  );
  const car = (await Promise.all(found)).filter((identity) => identity !== undefined);
  return { testerCa: ca, car };
}

function absent(error: unknown): undefined {
  if (!isMissing(error)) throw error;
  return undefined;
}

interface RootFiles {
  director_root: string;
  image_root: string;
}

/** Both or none: one repository proves nothing without the other. */
async function trustRoots(folder: string, files: RootFiles): Promise<TrustRoots | undefined> {
  const place = (name: string) => join(folder, "trust", `${name}.root.json`);
  const director = await readIfPresent(files.director_root || place("director"));
  const image = await readIfPresent(files.image_root || place("image"));
  if (director !== undefined && image !== undefined) {
    return { director: Buffer.from(director), image: Buffer.from(image) };
  }
  const isExpected = [director, image, files.director_root, files.image_root].some(Boolean);
  if (!isExpected) return undefined;
  const which = director === undefined ? "director" : "image repository";
  throw new ProvisioningError(folder, `The root of the ${which} is missing.`);
}

const signingFolder = (folder: string) => join(folder, "signing");

/** The public keys that sign packages. */
async function packageKeys(folder: string): Promise<TrustedKeys> {
  const keys = await loadSigningPublicKeys(signingFolder(folder));
  return trustKeys(keys.map(keyRecord));
}

function isMissing(error: unknown): error is PkiError {
  return (
    error instanceof PkiError &&
    (error.code === "PKI_CERTIFICATE_MISSING" || error.code === "PKI_KEY_MISSING")
  );
}
