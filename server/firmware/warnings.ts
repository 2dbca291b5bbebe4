import { compare, gte, lt } from "semver";
import type { FirmwareDetail, FirmwareWarningCode } from "#protocol/api/firmware.ts";
import type { Release, Requirement } from "./release.ts";

/** What warnings need of an active firmware, published or not yet. */
export type Listed = Pick<
  Release,
  | "firmware_id"
  | "ecu_type"
  | "version"
  | "hardware_versions"
  | "channel"
  | "min_current_version"
  | "requires"
  | "availability"
>;

export type Warning = FirmwareDetail["warnings"][number];

/** Others that a warning names; how many there are, it says. */
const MAX_NAMED = 5;

/**
 * What can't be done with an active firmware as the catalogue is now. Nothing is refused for it: a
 * step may be uploaded later, and vehicles may have come from the factory with what is missing.
 * @param catalogue active firmware: of its type, and of those that it requires, directly or not
 */
export function warningsOf(firmware: Listed, catalogue: readonly Listed[]): Warning[] {
  return [
    ...chainBroken(firmware, catalogue),
    ...requirementsMissing(firmware, catalogue),
    ...requirementCycle(firmware, catalogue),
  ];
}

/**
 * What the catalogue loses with a firmware that is archived.
 * @param catalogue active firmware without it: of its type, and what requires that type
 */
export function lossesOf(archived: Listed, catalogue: readonly Listed[]): Warning[] {
  const before = [...catalogue, archived];
  const cut = catalogue.filter(
    (each) =>
      each.ecu_type === archived.ecu_type &&
      unwalkable(each, catalogue).length > unwalkable(each, before).length,
  );
  const unmet = catalogue.filter(
    (each) => missing(each, catalogue).length > missing(each, before).length,
  );
  return [...about("CHAIN_CUT", cut), ...about("REQUIREMENT_CUT", unmet)];
}

function about(code: FirmwareWarningCode, firmware: readonly Listed[]): Warning[] {
  if (firmware.length === 0) return [];
  const named = firmware.slice(0, MAX_NAMED).map(nameOf).join(", ");
  const others = firmware.length - MAX_NAMED;
  return [{ code, detail: others > 0 ? `${named} and ${others} more` : named }];
}

function chainBroken(firmware: Listed, catalogue: readonly Listed[]): Warning[] {
  const hardware = unwalkable(firmware, catalogue);
  if (hardware.length === 0) return [];
  const detail =
    `nothing in the catalogue brings hardware ${hardware.join(", ")} to ` +
    `${firmware.min_current_version}: only what runs that already can go on to ${firmware.version}`;
  return [{ code: "CHAIN_BROKEN", detail }];
}

/** The hardware on which no steps from any version lead to the firmware. */
function unwalkable(firmware: Listed, catalogue: readonly Listed[]): string[] {
  if (firmware.min_current_version === null) return [];
  const steps = catalogue
    .filter((each) => each.ecu_type === firmware.ecu_type && isOpenTo(firmware, each))
    .filter(({ version }) => lt(version, firmware.version))
    .toSorted((one, other) => compare(one.version, other.version));
  return firmware.hardware_versions.filter((hardware) => {
    // A minimum is a lower bound: the highest version that can be come to opens the most.
    let top: string | undefined;
    for (const { hardware_versions, min_current_version: min, version } of steps) {
      if (!hardware_versions.includes(hardware)) continue;
      if (min === null || (top !== undefined && gte(top, min))) top = version;
    }
    return top === undefined || lt(top, firmware.min_current_version ?? "0.0.0");
  });
}

function requirementsMissing(firmware: Listed, catalogue: readonly Listed[]): Warning[] {
  return missing(firmware, catalogue).map(({ ecu_type, min_version }) => ({
    code: "REQUIREMENT_MISSING",
    detail: `nothing in the catalogue brings ${ecu_type} to ${min_version}`,
  }));
}

function missing(firmware: Listed, catalogue: readonly Listed[]): Requirement[] {
  return firmware.requires.filter((each) => meeting(firmware, each, catalogue).length === 0);
}

/** The shortest way back, as far as it is a firmware's and not its requirements' own. */
function requirementCycle(firmware: Listed, catalogue: readonly Listed[]): Warning[] {
  const seen = new Set<string>([firmware.firmware_id]);
  let ways: Listed[][] = [[firmware]];
  while (ways.length > 0) {
    const next: Listed[][] = [];
    for (const way of ways) {
      for (const requirement of way.at(-1)?.requires ?? []) {
        if (way.length > 1 && requirement.ecu_type === firmware.ecu_type) {
          const detail = [...way.map(nameOf), requirement.ecu_type].join(" → ");
          return [{ code: "REQUIREMENT_CYCLE", detail }];
        }
        for (const each of meeting(firmware, requirement, catalogue)) {
          if (seen.has(each.firmware_id)) continue;
          seen.add(each.firmware_id);
          next.push([...way, each]);
        }
      }
    }
    ways = next;
  }
  return [];
}

function meeting(
  firmware: Listed,
  { ecu_type, min_version }: Requirement,
  catalogue: readonly Listed[],
): Listed[] {
  return catalogue.filter(
    (each) =>
      each.ecu_type === ecu_type && isOpenTo(firmware, each) && gte(each.version, min_version),
  );
}

/** Whether every vehicle that is offered the firmware may be offered the other too. */
function isOpenTo(firmware: Listed, other: Listed): boolean {
  const onChannel = firmware.channel === "beta" || other.channel === "stable";
  // A campaign may bring along both kinds.
  return onChannel && (firmware.availability === "campaign" || other.availability === "channel");
}

function nameOf({ ecu_type, version }: Listed): string {
  return `${ecu_type} ${version}`;
}
