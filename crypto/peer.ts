import { hash } from "node:crypto";
import type { TLSSocket } from "node:tls";
import { isVehicleId } from "./identity.ts";
import { sessionOf, type TlsSession } from "./session.ts";

/** Who is at the other end of a server's TLS socket. */
export type PeerIdentity =
  | { kind: "anonymous" }
  | {
      kind: "refused";
      /** OpenSSL's verification code, or `SUBJECT_NOT_A_VEHICLE`. */
      code: string;
      reason: string;
      /** The certificate's distinguished name on one line, for the log. */
      subject: string;
    }
  /** `fingerprint` is the SHA-256 of the certificate's DER, lower-case hex. */
  | { kind: "vehicle"; vehicleId: string; fingerprint: string };

/**
 * The identity that the client's certificate proves, by the connection's {@link sessionOf}.
 * `refused` is a certificate that was shown but does not hold: it gives no access to anything, and
 * its reason belongs in the log.
 */
export function peerIdentity(
  socket: TLSSocket,
  session: TlsSession | undefined = sessionOf(socket),
  now = Date.now(),
): PeerIdentity {
  const certificate = session?.peerCertificate;
  if (certificate === undefined) return { kind: "anonymous" };
  if (!socket.authorized) return refused(socket, verificationCode(socket));
  // OpenSSL looks at the time in a full handshake only, and a session can be resumed again and again.
  if ((session?.peerFields?.notAfter ?? 0) < now) return refused(socket, "CERT_HAS_EXPIRED");
  const vehicleId = session?.peerFields?.commonName;
  if (vehicleId === undefined || !isVehicleId(vehicleId)) {
    return refused(socket, "SUBJECT_NOT_A_VEHICLE");
  }
  return { kind: "vehicle", vehicleId, fingerprint: hash("sha256", certificate, "hex") };
}

export interface HandshakeRefusal {
  /** OpenSSL's verification code or Node's error code. */
  code: string;
  reason: string;
}

/**
 * Why a handshake failed, from the arguments of a server's `tlsClientError`. Where client
 * certificates are required, Node reports a refused one only as a closed socket; the verification
 * result is still on it, but the certificate is gone. A listener that wants to log whose it was
 * takes `optional` certificates and asks {@link peerIdentity}.
 */
export function handshakeRefusal(error: Error, socket: TLSSocket): HandshakeRefusal {
  if (socket.authorizationError !== null && socket.authorizationError !== undefined) {
    const code = verificationCode(socket);
    return { code, reason: explain(code) };
  }
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  // OpenSSL's message is a line of its error queue; its `reason` is the part that says something.
  const detail = "reason" in error ? String(error.reason) : error.message;
  return { code, reason: REASONS[code] ?? detail };
}

const REASONS: Partial<Record<string, string>> = {
  SUBJECT_NOT_A_VEHICLE: "the certificate's common name is not a vehicle id",
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
  ERR_SSL_NO_SHARED_SIGNATURE_ALGORITHMS:
    "no certificate signature algorithm in common (see the enabled TLS profiles)",
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: "the client showed no certificate",
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
  const subject = socket.getPeerX509Certificate()?.subject.split("\n").join(", ") ?? "";
  return { kind: "refused", code, reason: explain(code), subject };
}
