import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { issueVehicleCertificate, loadVehicleIdentity, serverCa } from "#crypto/pki.ts";
import { PkiError } from "#crypto/pki-error.ts";
import { findProfile } from "#crypto/profiles.ts";
import { loadSigningPublicKeys } from "#crypto/signing-keys.ts";
import { clientTlsOptions } from "#crypto/tls.ts";
import { keyRecord, trustKeys, type TrustedKeys } from "#protocol/uptane/key.ts";

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
        `The gateway makes certificates and keys for development on its first start (\`npm start\`); \`npm run certs\` makes the certificates alone.\n` +
        `On another machine, copy these there: ${folder}/server-ca/*/root.pem, the vehicle's .pem and .key in ` +
        `${folder}/vehicles/, and ${signingFolder(folder)}/*.pub.`,
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
    throw new ProvisioningError(folder, `${vin} is not provisioned: ${error.message}.`);
  }
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
