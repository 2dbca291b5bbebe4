import type { TLSSocket } from "node:tls";
import { certificateFields, type CertificateFields } from "./certificate-fields.ts";
import { derElement, derSequence, DerTag } from "./der.ts";

/** Context tags of OpenSSL's SSL_SESSION_ASN1 (ssl/ssl_asn1.c): `[3] peer`, `[19] kex_group`. */
const PEER = 0xa3;
const KEX_GROUP = 0xb3;
const MAX_GROUP_BYTES = 3;

export interface TlsSession {
  /** Code point of the negotiated group; undefined when the session names none. */
  group: number | undefined;
  /** DER of the peer's certificate, a view on the input; undefined when it showed none. */
  peerCertificate: Uint8Array | undefined;
  /** What is in it; undefined when it isn't a certificate. */
  peerFields: CertificateFields | undefined;
}

/**
 * The session of a server's connection. OpenSSL writes it anew each time, which costs as much as
 * all else that is asked of a connection: read it once.
 */
export function sessionOf(socket: TLSSocket): TlsSession | undefined {
  const serialised = socket.getSession();
  return serialised === undefined ? undefined : readSession(serialised);
}

/**
 * What a serialised TLS session (`socket.getSession()`) says about its handshake, also after a
 * resumption. It is the only place where a Node server can read the group, and ten times cheaper
 * than `getPeerX509Certificate` for the peer.
 * @param session DER of OpenSSL's SSL_SESSION.
 * @returns undefined when it isn't what OpenSSL writes.
 */
export function readSession(session: Uint8Array): TlsSession | undefined {
  const fields = derSequence(session);
  if (fields === undefined) return undefined;
  const found: TlsSession = {
    group: undefined,
    peerCertificate: undefined,
    peerFields: undefined,
  };
  for (const field of fields) {
    if (field.tag === PEER) {
      found.peerCertificate = session.subarray(field.start, field.end);
      found.peerFields = certificateFields(found.peerCertificate);
    }
    if (field.tag === KEX_GROUP) {
      const value = derElement(session, field.start, field.end);
      if (value?.tag !== DerTag.integer || value.end - value.start > MAX_GROUP_BYTES) {
        return undefined;
      }
      found.group = 0;
      for (let i = value.start; i < value.end; i++) {
        found.group = found.group * 256 + (session[i] ?? 0);
      }
    }
  }
  return found;
}
