import type { TLSSocket } from "node:tls";
import type { Negotiated } from "#crypto/negotiated.ts";
import type { PeerIdentity } from "#crypto/peer.ts";
import { findProfile, meetsProfile } from "#crypto/profiles.ts";
import type { Log } from "./log.ts";

/** Why a connection whose certificate verifies is refused all the same. */
export interface Refusal {
  code: "CERT_REVOKED" | "TLS_PROFILE_TOO_WEAK";
  reason: string;
}

/** Who is there and how the connection is protected. */
interface Handshake {
  peer: PeerIdentity;
  negotiated: Negotiated;
}

/**
 * What holds for vehicles' connections beyond what TLS itself verifies. It is asked in every
 * handshake, also of a resumed session, so it keeps in memory what it needs to know.
 */
export interface Admission {
  refusal(connection: Handshake): Refusal | undefined;
  /** Keeps an open connection of a vehicle in mind, to cut it if it is to end. */
  opened(socket: TLSSocket, connection: Handshake): void;
  /** Refuses these certificates until they expire, and cuts what they have open. */
  revoke(certificates: readonly { fingerprint: string; not_after: Date }[]): void;
  /** Sets the least profile of vehicles, null for none, and cuts what is open below it. */
  demand(minimums: readonly { vin: string; profile: number | null }[]): void;
}

/**
 * A certificate that has expired proves nothing, revoked or not. It is forgotten later than that, as
 * the database's clock and this one may differ.
 */
export const REMEMBERED_MS = 86_400_000;

export function createAdmission(log: Log, now: () => number = Date.now): Admission {
  /** When each of them is forgotten. */
  const revoked = new Map<string, number>();
  const minimums = new Map<string, number>();
  const open = new Map<TLSSocket, Handshake>();

  function refusal({ peer, negotiated }: Handshake): Refusal | undefined {
    if (peer.kind !== "vehicle") return undefined;
    if (revoked.has(peer.fingerprint)) {
      return { code: "CERT_REVOKED", reason: "the certificate has been revoked" };
    }
    const minimum = minimums.get(peer.vehicleId);
    if (minimum === undefined || meetsProfile(negotiated.profile, minimum)) return undefined;
    const has = negotiated.profile?.id ?? `none (${negotiated.group}, ${negotiated.peerKeyType})`;
    const reason = `profile ${minimum} (${findProfile(minimum)?.name}) or stronger is demanded of ${peer.vehicleId}, not ${has}`;
    return { code: "TLS_PROFILE_TOO_WEAK", reason };
  }

  function cut(): void {
    for (const [socket, connection] of open) {
      const why = refusal(connection);
      if (why === undefined || connection.peer.kind !== "vehicle") continue;
      const { vehicleId } = connection.peer;
      log.warn({ vehicle: vehicleId, code: why.code }, `Connection cut: ${why.reason}`);
      socket.destroy();
    }
  }

  return {
    refusal,
    opened(socket, connection) {
      open.set(socket, connection);
      socket.once("close", () => open.delete(socket));
    },
    revoke(certificates) {
      const before = revoked.size;
      for (const { fingerprint, not_after } of certificates) {
        revoked.set(fingerprint, not_after.getTime() + REMEMBERED_MS);
      }
      if (revoked.size === before) return;
      cut();
      const at = now();
      for (const [fingerprint, until] of revoked) if (until < at) revoked.delete(fingerprint);
    },
    demand(changes) {
      let raised = false;
      for (const { vin, profile } of changes) {
        if (profile === null) minimums.delete(vin);
        else if (minimums.get(vin) !== profile) {
          minimums.set(vin, profile);
          raised = true;
        }
      }
      if (raised) cut();
    },
  };
}
