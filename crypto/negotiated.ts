import type { TLSSocket } from "node:tls";
import { certificateFields } from "./certificate-fields.ts";
import { groupCode, groupName } from "./groups.ts";
import { profileOf, type TlsProfile } from "./profiles.ts";
import { sessionOf, type TlsSession } from "./session.ts";

/** What a finished TLS handshake agreed on, seen from either side. */
export interface Negotiated {
  /** `TLSv1.3` */
  protocol: string;
  /** Name of the cipher suite, `TLS_AES_256_GCM_SHA384`. */
  cipher: string;
  /** Name of the key exchange group, `X25519MLKEM768`; `unknown` when the session names none. */
  group: string;
  groupCode: number | undefined;
  /** Key of the peer's certificate (`ecdsa-p256`, `ml-dsa-65`, `rsa` …); undefined without one. */
  peerKeyType: string | undefined;
  /**
   * The profile this amounts to, by the peer's certificate or, where the peer showed none, by our
   * own; undefined when no profile has this combination.
   */
  profile: TlsProfile | undefined;
  /** Whether the session was resumed from an earlier one. */
  resumed: boolean;
}

/**
 * Reads the outcome of a handshake; call it once, after `secureConnection` or `secureConnect`. A
 * server that has the connection's {@link sessionOf} already passes it on.
 */
export function negotiated(socket: TLSSocket, session?: TlsSession): Negotiated {
  const { code, peerKeyType } = clientSide(socket) ?? serverSide(session ?? sessionOf(socket));
  const group = code === undefined ? "unknown" : groupName(code);
  return {
    protocol: socket.getProtocol() ?? "unknown",
    cipher: socket.getCipher().name,
    group,
    groupCode: code,
    peerKeyType,
    profile: profileOf({
      group,
      peerKeyType: peerKeyType ?? keyType(socket.getX509Certificate()?.raw),
    }),
    resumed: socket.isSessionReused(),
  };
}

interface Handshake {
  /** Code point of the negotiated group. */
  code: number | undefined;
  peerKeyType: string | undefined;
}

/** A client's session stays empty until the server's ticket arrives; only a client has this. */
function clientSide(socket: TLSSocket): Handshake | undefined {
  const key = socket.getEphemeralKeyInfo();
  if (key === null) return undefined;
  return {
    code: "name" in key && typeof key.name === "string" ? groupCode(key.name) : undefined,
    peerKeyType: keyType(socket.getPeerX509Certificate()?.raw),
  };
}

function serverSide(session: TlsSession | undefined): Handshake {
  return { code: session?.group, peerKeyType: session?.peerFields?.keyType };
}

function keyType(certificate: Uint8Array | undefined): string | undefined {
  return certificate === undefined ? undefined : certificateFields(certificate)?.keyType;
}
