import { createPrivateKey, type KeyObject, type X509Certificate } from "node:crypto";
import { certificatesOf } from "#crypto/certificate-chain.ts";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import type { TesterRole } from "#crypto/tester-role.ts";
import type { TlsIdentity } from "#crypto/tls.ts";

export interface AuthenticationOptions {
  /** PEM bundle of the roots that testers' certificates lead to; empty for none. */
  testerCa: string;
  /** The car's certificates, with their keys, by which the ECU proves itself. */
  car: readonly TlsIdentity[];
  /** From which role on a tester has to be authenticated; by default from none. */
  requiredFrom?: TesterRole | undefined;
  /** Secure time. */
  now?: () => Date;
}

/** What an ECU authenticates testers with. */
export interface EcuAuthentication {
  readonly roots: readonly X509Certificate[];
  readonly car: readonly { algorithm: KeyAlgorithm; chain: Uint8Array; key: KeyObject }[];
  readonly requiredFrom: TesterRole | undefined;
  now(): Date;
}

/** @throws the error of `node:crypto` for certificates or keys that are none */
export function ecuAuthentication(options: AuthenticationOptions | undefined): EcuAuthentication {
  const { testerCa = "", car = [], requiredFrom, now = () => new Date() } = options ?? {};
  return {
    roots: certificatesOf(testerCa),
    car: car.map(({ algorithm, chain, key }) => ({
      algorithm,
      chain: Buffer.concat(certificatesOf(chain).map(({ raw }) => raw)),
      key: createPrivateKey(key),
    })),
    requiredFrom,
    now,
  };
}
