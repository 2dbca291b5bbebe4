/**
 * What a diagnostic engineer may do to an ECU, each role with all of those before it: read what is
 * protected, write data, control actuators and routines, program.
 */
export const TesterRole = ["read", "write", "control", "programming"] as const;
export type TesterRole = (typeof TesterRole)[number];

/** URIs among a certificate's alternative names say the role of a tester and the vehicles. */
export const ROLE_URI = "urn:latticeway:tester-role:";
export const VEHICLE_URI = "urn:latticeway:vehicle:";

/** The names that make a certificate a tester's; without vehicles it is good for all. */
export function testerUris(role: TesterRole, vehicles: readonly string[] = []): string[] {
  return [ROLE_URI + role, ...vehicles.map((vehicle) => VEHICLE_URI + vehicle)];
}

export interface TesterGrant {
  role: TesterRole;
  /** Undefined: all. */
  vehicles: readonly string[] | undefined;
}

/** What a certificate's URIs allow a tester; undefined unless they name exactly one known role. */
export function testerGrant(uris: readonly string[]): TesterGrant | undefined {
  const named = (prefix: string) =>
    uris.filter((uri) => uri.startsWith(prefix)).map((uri) => uri.slice(prefix.length));
  const [name, ...more] = named(ROLE_URI);
  const role = TesterRole.find((each) => each === name);
  if (role === undefined || more.length > 0) return undefined;
  const vehicles = named(VEHICLE_URI);
  return { role, vehicles: vehicles.length > 0 ? vehicles : undefined };
}

/** Whether a role includes another. */
export function covers(role: TesterRole, wanted: TesterRole): boolean {
  return TesterRole.indexOf(role) >= TesterRole.indexOf(wanted);
}
