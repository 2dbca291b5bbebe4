import { ByteReader } from "#protocol/bytes/reader.ts";
import { Sid } from "./service.ts";

/** Sub-functions of the Authentication service (ISO 14229-1, 29) that this project speaks. */
export const AuthenticationTask = {
  deAuthenticate: 0x00,
  verifyCertificateUnidirectional: 0x01,
  verifyCertificateBidirectional: 0x02,
  proofOfOwnership: 0x03,
  transmitCertificate: 0x04,
  authenticationConfiguration: 0x08,
} as const;

/** authenticationReturnParameter: how a step ended that was answered positively. */
export const AuthenticationResult = {
  requestAccepted: 0x00,
  /** The answer to 08: authentication with PKI certificate exchange. */
  certificateExchange: 0x02,
  deAuthenticated: 0x10,
  ownershipNecessary: 0x11,
  complete: 0x12,
  certificateVerified: 0x13,
} as const;

/** Nothing of the communication is secured: no session key is agreed on. */
export const NO_COMMUNICATION_CONFIGURATION = 0x00;

/** certificateEvaluationId of ours: an authority's certificate, which a chain may then leave out. */
export const AUTHORITY_EVALUATION = 0x0001;

/** Both sides' challenges, in bytes. */
export const CHALLENGE_LENGTH = 32;

/**
 * Challenges that are signed are no shorter, so that none comes twice, and no longer, so that nobody
 * has anything else signed by way of them: what TLS signs with the same keys is longer.
 */
export const MIN_CHALLENGE = 16;
export const MAX_CHALLENGE = 64;

/** 29 01 and 29 02. */
export interface VerifyCertificate {
  task: 0x01 | 0x02;
  communicationConfiguration: number;
  /** DER, the authorities behind it. */
  certificate: Uint8Array;
  /** May be empty in 01. */
  challenge: Uint8Array;
}

export function encodeVerifyCertificate(message: VerifyCertificate): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(Sid.authentication, message.task, message.communicationConfiguration),
    ...sized(message.certificate),
    ...sized(message.challenge),
  ]);
}

/** @param request 29 01 … or 29 02 … @throws ByteError */
export function decodeVerifyCertificate(request: Uint8Array): Omit<VerifyCertificate, "task"> {
  const reader = parameters(request);
  const communicationConfiguration = reader.u8("communicationConfiguration");
  const certificate = take(reader, "certificateClient");
  const challenge = take(reader, "challengeClient");
  reader.end("verifyCertificate");
  return { communicationConfiguration, certificate, challenge };
}

/** What 29 01 and 29 02 are answered with; the parts of the server only in 02. */
export interface CertificateVerified {
  result: number;
  challenge: Uint8Array;
  server?: { certificate: Uint8Array; proof: Uint8Array };
  ephemeralPublicKey: Uint8Array;
}

/** The parameters behind 69 01 or 69 02. */
export function encodeCertificateVerified(message: CertificateVerified): Uint8Array {
  const { server } = message;
  return Buffer.concat([
    Uint8Array.of(message.result),
    ...sized(message.challenge),
    ...(server ? [...sized(server.certificate), ...sized(server.proof)] : []),
    ...sized(message.ephemeralPublicKey),
  ]);
}

/** @param response 69 01 … or 69 02 … @throws ByteError */
export function decodeCertificateVerified(response: Uint8Array): CertificateVerified {
  const reader = parameters(response);
  const result = reader.u8("authenticationReturnParameter");
  const challenge = take(reader, "challengeServer");
  const isBidirectional = response[1] === AuthenticationTask.verifyCertificateBidirectional;
  const server = isBidirectional && {
    certificate: take(reader, "certificateServer"),
    proof: take(reader, "proofOfOwnershipServer"),
  };
  const ephemeralPublicKey = take(reader, "ephemeralPublicKeyServer");
  reader.end("certificateVerified");
  return { result, challenge, ...(server && { server }), ephemeralPublicKey };
}

/** 29 03. */
export interface ProofOfOwnership {
  proof: Uint8Array;
  ephemeralPublicKey: Uint8Array;
}

export function encodeProofOfOwnership(message: ProofOfOwnership): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(Sid.authentication, AuthenticationTask.proofOfOwnership),
    ...sized(message.proof),
    ...sized(message.ephemeralPublicKey),
  ]);
}

/** @param request 29 03 … @throws ByteError */
export function decodeProofOfOwnership(request: Uint8Array): ProofOfOwnership {
  const reader = parameters(request);
  const proof = take(reader, "proofOfOwnershipClient");
  const ephemeralPublicKey = take(reader, "ephemeralPublicKeyClient");
  reader.end("proofOfOwnership");
  return { proof, ephemeralPublicKey };
}

/** The parameters behind 69 03: how it ended, and no session key. */
export function encodeOwnershipVerified(result: number): Uint8Array {
  return Buffer.concat([Uint8Array.of(result), ...sized(new Uint8Array())]);
}

/** @param response 69 03 … @returns authenticationReturnParameter @throws ByteError */
export function decodeOwnershipVerified(response: Uint8Array): number {
  const reader = parameters(response);
  const result = reader.u8("authenticationReturnParameter");
  take(reader, "sessionKeyInfo");
  reader.end("ownershipVerified");
  return result;
}

/** 29 04. */
export interface TransmitCertificate {
  evaluationId: number;
  certificate: Uint8Array;
}

export function encodeTransmitCertificate(message: TransmitCertificate): Uint8Array {
  const { evaluationId } = message;
  return Buffer.concat([
    Uint8Array.of(Sid.authentication, AuthenticationTask.transmitCertificate),
    Uint8Array.of(evaluationId >> 8, evaluationId & 0xff),
    ...sized(message.certificate),
  ]);
}

/** @param request 29 04 … @throws ByteError */
export function decodeTransmitCertificate(request: Uint8Array): TransmitCertificate {
  const reader = parameters(request);
  const evaluationId = reader.u16("certificateEvaluationId");
  const certificate = take(reader, "certificateData");
  reader.end("transmitCertificate");
  return { evaluationId, certificate };
}

/** Behind SID and sub-function. */
function parameters(message: Uint8Array): ByteReader {
  const reader = new ByteReader(message);
  reader.bytes("service and sub-function", 2);
  return reader;
}

function take(reader: ByteReader, field: string): Uint8Array {
  return reader.bytes(field, reader.u16(`length of ${field}`));
}

/** @throws RangeError for more bytes than the two of the length can say */
function sized(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length > 0xffff) throw new RangeError(`${bytes.length} bytes don't fit into one field`);
  return [Uint8Array.of(bytes.length >> 8, bytes.length & 0xff), bytes];
}
