import type { KeyObject } from "node:crypto";
import { verifyChain, type ChainProblem, type ChainRules } from "#crypto/certificate-chain.ts";
import { certificateUris } from "#crypto/certificate-uris.ts";
import type { KeyAlgorithm } from "#crypto/key-algorithm.ts";
import { testerGrant, type TesterRole } from "#crypto/tester-role.ts";
import { AuthenticationNrc } from "#protocol/uds/authentication-nrc.ts";

/** What a tester may do whose certificate holds, once it has proved that it is its own. */
export interface TesterRight {
  publicKey: KeyObject;
  algorithm: KeyAlgorithm;
  role: TesterRole;
  /** When the certificate ends, in milliseconds since the epoch. */
  until: number;
}

/** Where a tester is with its authentication. */
export interface TesterState {
  /** When its last request came, on the ECU's clock. */
  lastActivity: number;
  /** Authorities that it has sent ahead, in DER. */
  authorities: readonly Uint8Array[];
  /** Its certificate holds, and its proof of ownership is awaited. */
  pending?: { challenge: Uint8Array; right: TesterRight };
  /** It is authenticated. */
  right?: TesterRight;
}

/** Verifies a tester's certificate for one vehicle. @returns the NRC for one that does not hold */
export function testerRight(
  chain: Uint8Array,
  vin: string,
  rules: Omit<ChainRules, "purpose">,
): TesterRight | { nrc: number } {
  const verdict = verifyChain(chain, { ...rules, purpose: "client" });
  if (verdict.kind === "invalid") return { nrc: CHAIN_NRC[verdict.problem] };
  const { certificate, publicKey, algorithm } = verdict.leaf;
  const grant = testerGrant(certificateUris(certificate.raw));
  if (grant === undefined) return { nrc: AuthenticationNrc.certificateInvalidContent };
  if (grant.vehicles?.includes(vin) === false)
    return { nrc: AuthenticationNrc.certificateInvalidScope };
  return { publicKey, algorithm, role: grant.role, until: certificate.validToDate.getTime() };
}

/** The NRC for each way in which a chain does not hold (ISO 14229-1, annex A). */
export const CHAIN_NRC: Record<ChainProblem, number> = {
  time: AuthenticationNrc.certificateInvalidTimePeriod,
  signature: AuthenticationNrc.certificateInvalidSignature,
  chain: AuthenticationNrc.certificateInvalidChainOfTrust,
  type: AuthenticationNrc.certificateInvalidType,
  format: AuthenticationNrc.certificateInvalidFormat,
  content: AuthenticationNrc.certificateInvalidContent,
};
