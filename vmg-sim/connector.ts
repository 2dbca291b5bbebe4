import type { VehicleConfig } from "#config/vehicle.ts";
import { carTlsOptions, isTesterOf } from "#crypto/diagnostic-tls.ts";
import type { AuthenticationOptions } from "#vmg-sim/ecu/tester-trust.ts";
import type { Pace } from "#vmg-sim/vmg/pace.ts";
import type { EdgeConfig } from "./hardware.ts";
import type { DiagnosticProvisioning } from "./provision.ts";

/** The car's diagnostic connector, with TLS where it is wanted and the car has a certificate for it. */
export function connector(
  edge: VehicleConfig["doip"]["edge"],
  vin: string,
  provisioned: DiagnosticProvisioning | undefined,
): EdgeConfig {
  const { tls_port, tls_min_version, tls_testers, client_certificates, ...plain } = edge;
  const tlsTesters = tls_testers.map(addressRange);
  if (tls_port === "none" || provisioned === undefined || provisioned.car.length === 0) {
    return { ...plain, tlsTesters };
  }
  const options = carTlsOptions({
    identities: provisioned.car,
    testerCa: provisioned.testerCa,
    clientCertificates: client_certificates,
    minVersion: tls_min_version,
  });
  const isTester: NonNullable<EdgeConfig["tls"]>["isTester"] = (socket) => isTesterOf(socket, vin);
  return { ...plain, tlsTesters, tls: { port: tls_port, options, isTester } };
}

/** How the car's ECUs authenticate testers. */
export function testerTrust(
  { required_from }: VehicleConfig["uds"]["authentication"],
  { testerCa, car }: DiagnosticProvisioning,
  pace: Pace | undefined,
): AuthenticationOptions {
  return {
    testerCa,
    car,
    requiredFrom: required_from === "none" ? undefined : required_from,
    ...(pace && { now: () => pace.now() }),
  };
}

/** `0x0E80-0x0EFF`, or one address. */
function addressRange(range: number | string): readonly [number, number] {
  if (typeof range === "number") return [range, range];
  const [first = NaN, last = NaN] = range.split("-").map(Number);
  return [first, last];
}
