import type { X509Certificate } from "node:crypto";
import type { ConnectionOptions } from "node:tls";
import type { Logger } from "pino";
import type { AgentEvent } from "./event.ts";
import type { GatewayClient } from "./gateway-client.ts";
import type { VehicleIdentity } from "./identity.ts";
import type { MqttLink } from "./mqtt-link.ts";
import { backoffMs, type Pace } from "./pace.ts";
import { periodically, type Periodic } from "./periodic.ts";
import type { Updater } from "./updater.ts";

export interface RenewalDeps {
  settings: {
    /** The part of its life time that a certificate has left when it is renewed. */
    renew_before: number;
    new_key: boolean;
  };
  identity: VehicleIdentity;
  client: GatewayClient;
  link: Pick<MqttLink, "useTls">;
  updater: Pick<Updater, "inTurn">;
  pace: Pace;
  log: Logger;
  signal: AbortSignal;
  onEvent: (event: AgentEvent) => void;
}

const BACKOFF = { backoff_ms: 1000, max_backoff_ms: 3_600_000 };

/**
 * Has the vehicle's certificate renewed while the one before still holds, and both connections made
 * anew with it. In turn with updates and VCIs, which are signed with the key of their connection.
 */
export function renewInTime(deps: RenewalDeps): Periodic {
  const { settings, identity, client, link, updater, pace, log, signal, onEvent } = deps;
  let failures = 0;
  let renewals = 0;

  const dueInMs = () =>
    renewalTime(identity.certificate, settings.renew_before) - pace.now().getTime();
  async function renew(): Promise<void> {
    if (dueInMs() > 0) return;
    failures++;
    await updater.inTurn(() =>
      identity.renew(settings.new_key, async (csr) => {
        const { certificate } = await client.renewCertificate(csr, signal);
        return certificate;
      }),
    );
    failures = 0;
    renewals++;
    const tls: ConnectionOptions = identity.tls;
    client.useTls(tls);
    link.useTls(tls);
    const { serialNumber, validToDate } = identity.certificate;
    const serial = serialNumber.toLowerCase();
    onEvent({ type: "certificate_renewed", serial, not_after: validToDate.toISOString() });
  }

  function delay(): number {
    if (failures > 0) return backoffMs(failures - 1, BACKOFF, pace.random);
    // One that is issued with nothing left but its last part must not be renewed all the time.
    const left = identity.certificate.validToDate.getTime() - pace.now().getTime();
    return Math.max(renewals === 0 ? 0 : left / 10, dueInMs());
  }
  return periodically("renewing the certificate", delay, renew, log);
}

/** When a certificate enters the last part of its life time, in ms of the epoch. */
export function renewalTime(certificate: X509Certificate, lastPart: number): number {
  const from = certificate.validFromDate.getTime();
  const to = certificate.validToDate.getTime();
  return to - (to - from) * lastPart;
}
