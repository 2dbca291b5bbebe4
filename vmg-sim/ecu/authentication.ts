import { ByteError } from "#protocol/bytes/reader.ts";
import { verifyAuthority } from "#crypto/certificate-chain.ts";
import { signDer, verifyDer } from "#crypto/signature-algorithm.ts";
import {
  AuthenticationResult,
  AuthenticationTask,
  AUTHORITY_EVALUATION,
  CHALLENGE_LENGTH,
  decodeProofOfOwnership,
  decodeTransmitCertificate,
  decodeVerifyCertificate,
  encodeCertificateVerified,
  encodeOwnershipVerified,
  MAX_CHALLENGE,
  MIN_CHALLENGE,
  NO_COMMUNICATION_CONFIGURATION,
} from "#protocol/uds/authentication-messages.ts";
import { AuthenticationNrc } from "#protocol/uds/authentication-nrc.ts";
import { Nrc } from "#protocol/uds/nrc.ts";
import { Sid } from "#protocol/uds/service.ts";
import { testerState } from "./access-rights.ts";
import {
  negative,
  positive,
  type EcuRuntime,
  type EcuService,
  type Outcome,
  type SubFunctionRule,
  type Tester,
} from "./runtime.ts";
import { CHAIN_NRC, testerRight } from "./tester-certificate.ts";

type Task = (ecu: EcuRuntime, request: Uint8Array, tester: Tester) => Outcome;

const tasks = new Map<number, Task>([
  [AuthenticationTask.deAuthenticate, deAuthenticate],
  [AuthenticationTask.verifyCertificateUnidirectional, verifyCertificate],
  [AuthenticationTask.verifyCertificateBidirectional, verifyCertificate],
  [AuthenticationTask.proofOfOwnership, verifyOwnership],
  [AuthenticationTask.transmitCertificate, takeCertificate],
  [AuthenticationTask.authenticationConfiguration, tellConfiguration],
]);

const all = new Map<number, SubFunctionRule>([...tasks.keys()].map((task) => [task, {}]));
const unidirectional = new Map(
  [...all].filter(([task]) => task !== AuthenticationTask.verifyCertificateBidirectional),
);

/**
 * 29: authentication with PKI certificate exchange, in every session. An ECU without a certificate
 * of its own has no bidirectional one; challenge-response without certificates (05 to 07) has none.
 */
export const authentication: EcuService = {
  sid: Sid.authentication,
  minLength: 2,
  subFunctions: (ecu) => (ecu.authentication.car.length > 0 ? all : unidirectional),
  handle(ecu, request, tester) {
    const task = tasks.get((request[1] ?? 0) & 0x7f);
    if (task === undefined) return negative(Nrc.subFunctionNotSupported);
    try {
      return task(ecu, request, tester);
    } catch (error) {
      if (!(error instanceof ByteError)) throw error;
      return negative(Nrc.incorrectMessageLength);
    }
  },
};

function deAuthenticate(ecu: EcuRuntime, request: Uint8Array, { source }: Tester): Outcome {
  if (request.length !== 2) return negative(Nrc.incorrectMessageLength);
  ecu.now.testers.delete(source);
  return positive(AuthenticationTask.deAuthenticate, AuthenticationResult.deAuthenticated);
}

function tellConfiguration(_: EcuRuntime, request: Uint8Array): Outcome {
  if (request.length !== 2) return negative(Nrc.incorrectMessageLength);
  const { certificateExchange } = AuthenticationResult;
  return positive(AuthenticationTask.authenticationConfiguration, certificateExchange);
}

/** 01 and 02: whoever begins is authenticated no longer, however it goes on. */
function verifyCertificate(ecu: EcuRuntime, request: Uint8Array, { source }: Tester): Outcome {
  const { communicationConfiguration, certificate, challenge } = decodeVerifyCertificate(request);
  const task = (request[1] ?? 0) & 0x7f;
  const isMutual = task === AuthenticationTask.verifyCertificateBidirectional;
  const isPossible =
    communicationConfiguration === NO_COMMUNICATION_CONFIGURATION &&
    challenge.length <= MAX_CHALLENGE &&
    (!isMutual || challenge.length >= MIN_CHALLENGE);
  if (!isPossible) return negative(Nrc.requestOutOfRange);
  const state = testerState(ecu, source);
  delete state.right;
  delete state.pending;
  const { authentication } = ecu;
  const right = testerRight(certificate, ecu.config.vin, {
    roots: authentication.roots,
    authorities: state.authorities,
    now: authentication.now(),
  });
  if ("nrc" in right) return negative(right.nrc);
  const own = ecu.random(CHALLENGE_LENGTH);
  if (own.length !== CHALLENGE_LENGTH)
    return negative(AuthenticationNrc.challengeCalculationFailed);
  state.pending = { challenge: own, right };
  const { car } = authentication;
  const identity = car.find(({ algorithm }) => algorithm === right.algorithm) ?? car[0];
  const parameters = encodeCertificateVerified({
    result: AuthenticationResult.ownershipNecessary,
    challenge: own,
    ...(isMutual &&
      identity && {
        server: { certificate: identity.chain, proof: signDer(challenge, identity.key) },
      }),
    ephemeralPublicKey: new Uint8Array(),
  });
  return positive(task, parameters);
}

/** 03: a challenge is good for one answer. */
function verifyOwnership(ecu: EcuRuntime, request: Uint8Array, { source }: Tester): Outcome {
  const { proof, ephemeralPublicKey } = decodeProofOfOwnership(request);
  const state = testerState(ecu, source);
  const { pending } = state;
  if (pending === undefined) return negative(Nrc.requestSequenceError);
  delete state.pending;
  // There is no session key that it could be for.
  if (ephemeralPublicKey.length > 0) return negative(AuthenticationNrc.sessionKeyCreationFailed);
  if (!verifyDer(pending.challenge, pending.right.publicKey, proof)) {
    return negative(AuthenticationNrc.ownershipVerificationFailed);
  }
  state.right = pending.right;
  const parameters = encodeOwnershipVerified(AuthenticationResult.complete);
  return positive(AuthenticationTask.proofOfOwnership, parameters);
}

/** Authorities that a tester may have sent ahead, at most. */
const MAX_AUTHORITIES = 4;

/** 04: an authority's certificate that chains need not have with them from then on. */
function takeCertificate(ecu: EcuRuntime, request: Uint8Array, { source }: Tester): Outcome {
  const { evaluationId, certificate } = decodeTransmitCertificate(request);
  if (evaluationId !== AUTHORITY_EVALUATION) return negative(Nrc.requestOutOfRange);
  const { roots, now } = ecu.authentication;
  const problem = verifyAuthority(certificate, { roots, purpose: "client", now: now() });
  if (problem !== undefined) return negative(CHAIN_NRC[problem]);
  const state = testerState(ecu, source);
  state.authorities = [...state.authorities, certificate.slice()].slice(-MAX_AUTHORITIES);
  const { transmitCertificate } = AuthenticationTask;
  return positive(transmitCertificate, AuthenticationResult.certificateVerified);
}
