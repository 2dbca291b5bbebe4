import { X509Certificate, type KeyObject } from "node:crypto";
import type { ConnectionOptions } from "node:tls";
import { makeCertificateRequest } from "#crypto/certificate-request.ts";
import { generateKeys, type KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { issueVehicleCertificate, loadVehicleIdentity } from "#crypto/pki.ts";
import { privateKeyPem } from "#crypto/private-key.ts";
import type { TlsIdentity } from "#crypto/tls.ts";
import type { TestGateway } from "#test/helpers/gateway.ts";
import { tlsAs } from "#test/server/raw-client.ts";

/** A key that a vehicle made, and the request for a certificate. */
export interface Order {
  privateKey: KeyObject;
  csr: string;
  /** With the chain that the gateway answered. */
  identity(chain: string): TlsIdentity;
}

export function orderFor(
  vin: string,
  algorithm: KeyAlgorithm = "ecdsa-p256",
  { privateKey } = generateKeys(algorithm) as { privateKey: KeyObject },
): Order {
  return {
    privateKey,
    csr: makeCertificateRequest(vin, privateKey),
    identity: (chain) => ({ algorithm, key: privateKeyPem(privateKey), chain }),
  };
}

export function fingerprintOf(pem: string): string {
  return new X509Certificate(pem).fingerprint256.replaceAll(":", "").toLowerCase();
}

/** A certificate that was not issued over the API, and how to connect with it. */
export async function factoryIdentity(
  gateway: TestGateway,
  vin: string,
): Promise<{ identity: TlsIdentity; options: ConnectionOptions; fingerprint: string }> {
  await issueVehicleCertificate(gateway.config.certs_dir, { vehicleId: vin });
  const identity = await loadVehicleIdentity(gateway.config.certs_dir, vin);
  return {
    identity,
    options: await tlsAs(gateway, identity),
    fingerprint: fingerprintOf(identity.chain),
  };
}
