import { randomBytes, type KeyObject, type X509Certificate } from "node:crypto";
import { ByteError } from "#protocol/bytes/reader.ts";
import { certificatesOf, verifyChain } from "#crypto/certificate-chain.ts";
import { certificateUris } from "#crypto/certificate-uris.ts";
import { signDer, verifyDer } from "#crypto/signature-algorithm.ts";
import { VEHICLE_URI } from "#crypto/tester-role.ts";
import {
  AuthenticationResult,
  AuthenticationTask,
  CHALLENGE_LENGTH,
  decodeCertificateVerified,
  decodeOwnershipVerified,
  encodeProofOfOwnership,
  encodeVerifyCertificate,
  MAX_CHALLENGE,
  MIN_CHALLENGE,
  NO_COMMUNICATION_CONFIGURATION,
  type CertificateVerified,
} from "./authentication-messages.ts";
import { positivePayload, UnexpectedResponseError } from "./response.ts";
import { Sid } from "./service.ts";

/** The ECU could not prove that it belongs to the car that was meant. */
export class EcuNotAuthenticError extends Error {
  readonly code = "UDS_ECU_NOT_AUTHENTIC";

  constructor(reason: string) {
    super(`the ECU is not authentic: ${reason}`);
    this.name = "EcuNotAuthenticError";
  }
}

export interface TesterCredentials {
  /** DER, the authorities behind it; as {@link chainOf} makes it of PEM. */
  certificate: Uint8Array;
  privateKey: KeyObject;
  /** For a bidirectional authentication: what the ECU has to prove. */
  car?: {
    /** PEM bundle of the roots that cars' certificates lead to. */
    roots: string;
    vehicleId: string;
    now?: Date;
  };
  random?: (length: number) => Uint8Array;
}

/** An authentication by certificate (ISO 14229-1, 29), from the tester's side. */
export interface Authentication {
  /** 29 01, or 29 02 where the ECU has to prove itself too. */
  request: Uint8Array;
  /**
   * The request that follows, 29 03, from the response to the first one.
   * @throws NegativeResponseError, UnexpectedResponseError, EcuNotAuthenticError
   */
  prove(response: Uint8Array): Uint8Array;
}

/** Begins an authentication; the private key is asked for once, for the ECU's challenge. */
export function beginAuthentication(credentials: TesterCredentials): Authentication {
  const { certificate, privateKey, car, random = randomBytes } = credentials;
  const challenge = car === undefined ? new Uint8Array() : random(CHALLENGE_LENGTH);
  const request = encodeVerifyCertificate({
    task:
      car === undefined
        ? AuthenticationTask.verifyCertificateUnidirectional
        : AuthenticationTask.verifyCertificateBidirectional,
    communicationConfiguration: NO_COMMUNICATION_CONFIGURATION,
    certificate,
    challenge,
  });
  return {
    request,
    prove(response) {
      positivePayload(request, response);
      const verified = decoded(() => decodeCertificateVerified(response));
      const { length } = verified.challenge;
      if (verified.result !== AuthenticationResult.ownershipNecessary) {
        throw unexpected(`result 0x${verified.result.toString(16)} in place of a challenge`);
      }
      // Nothing is signed that could be anything but a challenge.
      if (length < MIN_CHALLENGE || length > MAX_CHALLENGE) {
        throw unexpected(`a challenge of ${length} bytes`);
      }
      if (car !== undefined) demandCar(verified, challenge, car);
      return encodeProofOfOwnership({
        proof: signDer(verified.challenge, privateKey),
        ephemeralPublicKey: new Uint8Array(),
      });
    },
  };
}

/**
 * Makes sure that the response to 29 03 says that the tester is authenticated.
 * @param request the 29 03
 * @throws NegativeResponseError, UnexpectedResponseError
 */
export function demandAuthenticated(request: Uint8Array, response: Uint8Array): void {
  positivePayload(request, response);
  const result = decoded(() => decodeOwnershipVerified(response));
  if (result !== AuthenticationResult.complete) {
    throw unexpected(`result 0x${result.toString(16)} in place of an authentication`);
  }
}

/** The certificates of a PEM text as 29 carries them: DER, one behind the other. */
export function chainOf(pem: string): Uint8Array {
  return Buffer.concat(certificatesOf(pem).map(({ raw }) => raw));
}

function demandCar(
  { server }: CertificateVerified,
  challenge: Uint8Array,
  { roots, vehicleId, now = new Date() }: NonNullable<TesterCredentials["car"]>,
): void {
  if (server === undefined) throw new EcuNotAuthenticError("it showed no certificate");
  const verdict = verifyChain(server.certificate, {
    roots: certificatesOf(roots),
    purpose: "server",
    now,
  });
  if (verdict.kind === "invalid") {
    throw new EcuNotAuthenticError(`its certificate does not hold (${verdict.problem})`);
  }
  const { publicKey, certificate } = verdict.leaf;
  if (!isOf(certificate, vehicleId)) {
    throw new EcuNotAuthenticError(`its certificate is not that of ${vehicleId}`);
  }
  if (!verifyDer(challenge, publicKey, server.proof)) {
    throw new EcuNotAuthenticError("it has not signed the challenge");
  }
}

function isOf(certificate: X509Certificate, vehicleId: string): boolean {
  return certificateUris(certificate.raw).includes(VEHICLE_URI + vehicleId);
}

function decoded<Value>(decode: () => Value): Value {
  try {
    return decode();
  } catch (error) {
    if (!(error instanceof ByteError)) throw error;
    throw unexpected(error.message);
  }
}

function unexpected(detail: string): UnexpectedResponseError {
  return new UnexpectedResponseError(Sid.authentication, detail);
}
