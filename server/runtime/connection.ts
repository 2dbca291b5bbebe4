import type { KeyObject } from "node:crypto";
import type { Server as TlsServer, TLSSocket } from "node:tls";
import { negotiated, type Negotiated } from "#crypto/negotiated.ts";
import { handshakeRefusal, peerIdentity, type PeerIdentity } from "#crypto/peer.ts";
import { sessionOf } from "#crypto/session.ts";
import type { Admission, Refusal } from "./admission.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** A finished TLS handshake: who is there, and what was agreed on. */
export interface TlsConnection {
  peer: PeerIdentity;
  negotiated: Negotiated;
  at: Date;
  /** Set for a vehicle that is known but may not do anything on this connection. */
  refusal?: Refusal;
}

/** The connection as a vehicle's record keeps it. */
export interface ConnectionRecord {
  at: string;
  via: "https" | "mqtt";
  group: string;
  peer_key_type: string;
  profile: number | null;
}

const connections = new WeakMap<object, TlsConnection>();

/** What is known of a socket that {@link watchConnections} has seen. */
export function connectionOf(socket: object): TlsConnection | undefined {
  return connections.get(socket);
}

/** The public key of the client's certificate; undefined when it showed none, or the socket is closed. */
export function certificateKey(socket: object): KeyObject | undefined {
  return (socket as Partial<TLSSocket>).getPeerX509Certificate?.()?.publicKey;
}

export function connectionRecord(
  { negotiated: agreed, at }: TlsConnection,
  via: "https" | "mqtt",
): ConnectionRecord {
  return {
    at: at.toISOString(),
    via,
    group: agreed.group,
    peer_key_type: agreed.peerKeyType ?? "none",
    profile: agreed.profile?.id ?? null,
  };
}

export interface WatchDeps {
  listener: "https" | "mqtt";
  log: Log;
  metrics: Metrics;
  admission: Admission;
}

/**
 * Looks at every handshake of a listener: logs and counts what was negotiated, and why a client was
 * refused. Must be attached before any other `secureConnection` listener that asks for it.
 */
export function watchConnections(server: TlsServer, deps: WatchDeps): void {
  const { listener, log, metrics, admission } = deps;
  server.prependListener("secureConnection", (socket: TLSSocket) => {
    const connection = admitted(socket, admission);
    connections.set(socket, connection);
    if (connection.peer.kind === "vehicle") admission.opened(socket, connection);
    report(connection, socket, deps);
  });
  server.on("tlsClientError", (error, socket) => {
    const refusal = handshakeRefusal(error, socket);
    metrics.tlsRefused.inc({ listener, reason: refusal.code });
    log.warn(
      { listener, remote: socket.remoteAddress, code: refusal.code },
      `TLS handshake refused: ${refusal.reason}`,
    );
  });
}

function admitted(socket: TLSSocket, admission: Admission): TlsConnection {
  const session = sessionOf(socket);
  const peer = peerIdentity(socket, session);
  const connection = { peer, negotiated: negotiated(socket, session), at: new Date() };
  const refusal = admission.refusal(connection);
  if (refusal === undefined) return connection;
  if (refusal.code === "TLS_PROFILE_TOO_WEAK" || peer.kind !== "vehicle") {
    return { ...connection, refusal };
  }
  // A revoked certificate proves no more than one that does not verify.
  const { code, reason } = refusal;
  return {
    ...connection,
    peer: { kind: "refused", code, reason, subject: `CN=${peer.vehicleId}` },
  };
}

function report(
  { peer, negotiated: agreed, refusal }: TlsConnection,
  socket: TLSSocket,
  { listener, log, metrics }: WatchDeps,
): void {
  const remote = socket.remoteAddress;
  const facts = {
    listener,
    remote,
    group: agreed.group,
    peer_key_type: agreed.peerKeyType ?? "none",
    profile: agreed.profile?.id ?? null,
  };
  const { group, peer_key_type, profile } = facts;
  metrics.tlsConnections.inc({ listener, group, peer_key_type, profile: String(profile) });
  if (peer.kind === "refused") {
    metrics.tlsRefused.inc({ listener, reason: peer.code });
    log.warn(
      { ...facts, code: peer.code, subject: peer.subject },
      `Client certificate refused: ${peer.reason}`,
    );
    return;
  }
  const vehicle = peer.kind === "vehicle" ? peer.vehicleId : undefined;
  if (refusal !== undefined) {
    metrics.tlsRefused.inc({ listener, reason: refusal.code });
    log.warn({ ...facts, vehicle, code: refusal.code }, `Connection refused: ${refusal.reason}`);
    return;
  }
  log.info({ ...facts, vehicle }, `TLS handshake successful (${group})`);
}
