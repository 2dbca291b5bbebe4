import { hash } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { certificateFields } from "./certificate-fields.ts";
import { isVehicleId } from "./identity.ts";
import { readSession } from "./session.ts";

/** Who is at the other end of a server's TLS socket. */
export type PeerIdentity =
  | { kind: "anonymous" }
  | {
      kind: "refused";
      /** OpenSSL's verification code, or `SUBJECT_NOT_A_VEHICLE`. */
      code: string;
      reason: string;
      subject: string;
    }
  /** `fingerprint` is the SHA-256 of the certificate's DER, lower-case hex. */
  | { kind: "vehicle"; vehicleId: string; fingerprint: string };

/**
 * The identity that the client's certificate proves. `refused` is a certificate that was shown but
 * does not hold: it gives no access to anything, and its reason belongs in the log.
 */
export function peerIdentity(socket: TLSSocket): PeerIdentity {
  const session = socket.getSession();
  const certificate = session === undefined ? undefined : readSession(session)?.peerCertificate;
  if (certificate === undefined) return { kind: "anonymous" };
  if (!socket.authorized) return refused(socket, verificationCode(socket));
  const vehicleId = certificateFields(certificate)?.commonName;
  if (vehicleId === undefined || !isVehicleId(vehicleId)) {
    return refused(socket, "SUBJECT_NOT_A_VEHICLE");
  }
  return { kind: "vehicle", vehicleId, fingerprint: hash("sha256", certificate, "hex") };
}

export interface HandshakeRefusal {
  code: string;
  reason: string;
  /** Subject of the certificate that was refused, when one was shown. */
  subject: string | undefined;
}

/**
 * Why a handshake failed, from the arguments of a server's `tlsClientError`. Node reports a refused
 * client certificate only as a closed socket; the verification result is on the socket.
 */
export function handshakeRefusal(error: Error, socket: TLSSocket): HandshakeRefusal {
  const subject = peerSubject(socket);
  if (socket.authorizationError !== null && socket.authorizationError !== undefined) {
    const code = subject === undefined ? "CERTIFICATE_MISSING" : verificationCode(socket);
    return { code, reason: explain(code), subject };
  }
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  return { code, reason: REASONS[code] ?? error.message, subject };
}

const REASONS: Partial<Record<string, string>> = {
  SUBJECT_NOT_A_VEHICLE: "the certificate's common name is not a vehicle id",
  CERTIFICATE_MISSING: "the client showed no certificate",
  CERT_HAS_EXPIRED: "the certificate has expired",
  CERT_NOT_YET_VALID: "the certificate is not valid yet",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "the certificate was issued by an unknown authority",
  UNABLE_TO_GET_ISSUER_CERT: "the certificate was issued by an unknown authority",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "the certificate was issued by an unknown authority",
  SELF_SIGNED_CERT_IN_CHAIN: "the certificate leads to an authority that is not trusted here",
  DEPTH_ZERO_SELF_SIGNED_CERT: "the certificate is signed by itself",
  INVALID_PURPOSE: "the certificate is not meant for TLS clients",
  CERT_SIGNATURE_FAILURE: "the certificate's signature is wrong",
  ERR_SSL_UNSUPPORTED_PROTOCOL: "the client does not speak TLS 1.3",
  ERR_SSL_NO_SUITABLE_KEY_SHARE: "no key exchange group in common (see the enabled TLS profiles)",
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM:
    "no certificate signature algorithm in common (see the enabled TLS profiles)",
  ERR_SSL_HTTP_REQUEST: "plain HTTP on a TLS port",
  ERR_SSL_WRONG_VERSION_NUMBER: "not a TLS record",
  ECONNRESET: "the client closed the connection during the handshake",
};

function explain(code: string): string {
  return REASONS[code] ?? `the certificate does not verify (${code})`;
}

/** Node types `authorizationError` as an Error; at run time it is OpenSSL's code. */
function verificationCode(socket: TLSSocket): string {
  return String(socket.authorizationError ?? "UNVERIFIED");
}

function refused(socket: TLSSocket, code: string): PeerIdentity {
  return { kind: "refused", code, reason: explain(code), subject: peerSubject(socket) ?? "" };
}

/** The distinguished name of the peer's certificate on one line, for the log. */
function peerSubject(socket: TLSSocket): string | undefined {
  return socket.getPeerX509Certificate()?.subject.split("\n").join(", ");
}
