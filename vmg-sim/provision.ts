import { chmod, stat } from "node:fs/promises";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { readIfPresent } from "#crypto/exclusive-file.ts";
import { issueVehicleCertificate, loadVehicleIdentity, serverCa } from "#crypto/pki.ts";
import { PkiError } from "#crypto/pki-error.ts";
import { findProfile } from "#crypto/profiles.ts";
import { ensureSigningKeys } from "#crypto/signing-keys.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import { keyRecord, trustKeys, type TrustedKeys } from "#protocol/uptane/key.ts";
import { replaceFile } from "#vmg-sim/vmg/state-file.ts";

/** What the factory gives a vehicle. */
export interface Provisioning {
  tls: ConnectionOptions;
  trustedKeys: TrustedKeys;
}

/** The certificates folder lacks something that a vehicle needs. */
export class ProvisioningError extends Error {
  readonly code = "PROVISIONING_INCOMPLETE";

  constructor(folder: string, missing: string) {
    super(
      `${missing}\n` +
        `The gateway makes the development certificates on its first start, \`npm run certs\` makes them, too.\n` +
        `On another machine, copy these there: ${folder}/server-ca/*/root.pem, the vehicle's .pem and .key in ` +
        `${folder}/vehicles/, and ${packageKeysFile(folder)}.`,
    );
    this.name = "ProvisioningError";
  }
}

/**
 * A vehicle's TLS identity and the keys it trusts for packages, from the certificates folder. Where
 * the development authority's key lies there, a missing certificate is issued.
 * @throws ProvisioningError, PkiError
 */
export async function provisionVehicle(
  folder: string,
  vin: string,
  profileId: number,
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
    return { tls, trustedKeys: await packageKeys(folder) };
  } catch (error) {
    if (!isMissing(error)) throw error;
    throw new ProvisioningError(folder, `No certificate for ${vin}: ${error.message}.`);
  }
}

const packageKeysFile = (folder: string) => join(folder, "signing", "package-keys.json");

/**
 * The public keys that sign packages, from `signing/package-keys.json`. On the gateway's own machine
 * the file is written from the signing keys first, so that it always fits them.
 */
async function packageKeys(folder: string): Promise<TrustedKeys> {
  const file = packageKeysFile(folder);
  const known = await readIfPresent(file);
  if (await hasSigningKeys(folder)) {
    const signers = await ensureSigningKeys(join(folder, "signing"));
    const records = JSON.stringify(signers.map(({ publicKey }) => keyRecord(publicKey)));
    if (records === known) return trustKeys(JSON.parse(records) as unknown[]);
    await replaceFile(file, records);
    await chmod(file, 0o644);
    return trustKeys(JSON.parse(records) as unknown[]);
  }
  if (known === undefined) throw new ProvisioningError(folder, `${file} is missing.`);
  return trustKeys(JSON.parse(known) as unknown[]);
}

async function hasSigningKeys(folder: string): Promise<boolean> {
  const found = await stat(join(folder, "signing", "ecdsa-p256.key")).catch(() => undefined);
  return found !== undefined;
}

function isMissing(error: unknown): error is PkiError {
  return (
    error instanceof PkiError &&
    (error.code === "PKI_CERTIFICATE_MISSING" || error.code === "PKI_KEY_MISSING")
  );
}
