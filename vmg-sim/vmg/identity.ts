import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { join } from "node:path";
import type { ConnectionOptions } from "node:tls";
import { makeCertificateRequest } from "#crypto/certificate-request.ts";
import { readIfPresent } from "#crypto/exclusive-file.ts";
import { generateKeys, keyAlgorithmOf } from "#crypto/key-algorithm.ts";
import { privateKeyPem } from "#crypto/private-key.ts";
import { keySigner, type Signer } from "#crypto/signing-keys.ts";
import { replaceFile, StateFileError } from "./state-file.ts";

/** The vehicle's key and certificate: the factory's at first, then what it was issued last. */
export interface VehicleIdentity {
  /** For connections that are made from now on. */
  readonly tls: ConnectionOptions;
  /** Signs with the key of the certificate, whichever it is by then. */
  readonly signer: Signer;
  readonly certificate: X509Certificate;
  /** Asks for a certificate for a new key or for the same, and takes it up once it is on disk. */
  renew(newKey: boolean, order: (csr: string) => Promise<string>): Promise<void>;
}

/** What the gateway issued does not fit what was asked for. */
export class IssuedCertificateError extends Error {
  readonly code = "CERTIFICATE_NOT_AS_ORDERED";

  constructor(detail: string) {
    super(detail);
    this.name = "IssuedCertificateError";
  }
}

interface Held {
  privateKey: KeyObject;
  chain: string;
  certificate: X509Certificate;
  signer: Signer;
}

/**
 * Opens the identity that was issued last, if it still holds; else it is the factory's. Key and
 * certificate lie in one file, so that there is never one without the other.
 * @param factory options with the factory's key and certificate
 * @throws StateFileError
 */
export async function openIdentity(
  folder: string,
  vin: string,
  factory: ConnectionOptions,
): Promise<VehicleIdentity> {
  const file = join(folder, "identity.pem");
  const made = held(pemOf(factory.key), pemOf(factory.cert));
  let current = (await stored(file, made)) ?? made;
  return {
    get tls() {
      return { ...factory, key: privateKeyPem(current.privateKey), cert: current.chain };
    },
    get certificate() {
      return current.certificate;
    },
    signer: {
      algorithm: made.signer.algorithm,
      get publicKey() {
        return current.signer.publicKey;
      },
      sign: (bytes) => current.signer.sign(bytes),
    },
    async renew(newKey, order) {
      const { algorithm } = made.signer;
      const privateKey = newKey ? generateKeys(algorithm).privateKey : current.privateKey;
      const chain = await order(makeCertificateRequest(vin, privateKey));
      const next = held(privateKeyPem(privateKey), chain);
      refuseOther(next, vin, current.certificate);
      await replaceFile(file, privateKeyPem(privateKey) + chain);
      current = next;
    },
  };
}

/**
 * Undefined when there is none, when it is over, when the vehicle has another profile now, or when
 * the factory has given it a later one.
 */
async function stored(file: string, factory: Held): Promise<Held | undefined> {
  const pem = await readIfPresent(file);
  if (pem === undefined) return undefined;
  try {
    const at = Math.max(0, pem.indexOf("-----BEGIN CERTIFICATE-----"));
    const found = held(pem.slice(0, at), pem.slice(at));
    const { certificate, signer } = found;
    const holds =
      certificate.validToDate.getTime() > Date.now() &&
      certificate.validFromDate >= factory.certificate.validFromDate &&
      signer.algorithm === factory.signer.algorithm;
    return holds ? found : undefined;
  } catch (error) {
    throw new StateFileError(file, (error as Error).message);
  }
}

function pemOf(value: unknown): string {
  if (typeof value !== "string")
    throw new TypeError("the factory's key and chain are one text each");
  return value;
}

/** @throws when they are no key and certificate, or not of one pair */
function held(key: string, chain: string): Held {
  const privateKey = createPrivateKey(key);
  const certificate = new X509Certificate(chain);
  const algorithm = keyAlgorithmOf(privateKey);
  if (algorithm === undefined || !certificate.checkPrivateKey(privateKey)) {
    throw new IssuedCertificateError("the certificate is not for the vehicle's key");
  }
  return { privateKey, chain, certificate, signer: keySigner(algorithm, privateKey) };
}

function refuseOther(next: Held, vin: string, before: X509Certificate): void {
  if (next.certificate.subject !== `CN=${vin}`) {
    throw new IssuedCertificateError(`the certificate is for ${next.certificate.subject}`);
  }
  if (next.certificate.validToDate <= before.validToDate) {
    throw new IssuedCertificateError("the certificate is valid for no longer than the one before");
  }
}
