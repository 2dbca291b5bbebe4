import { SemVer } from "semver";
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
  const types = byType(catalogue);
  return [
    ...chainBroken(firmware, types),
    ...requirementsMissing(firmware, types),
    ...requirementCycle(firmware, types),
  ];
}

/**
 * What the catalogue loses with a firmware that is archived.
 * @param catalogue active firmware without it: of its type, and what requires that type
 */
export function lossesOf(archived: Listed, catalogue: readonly Listed[]): Warning[] {
  const types = { after: byType(catalogue), before: byType([...catalogue, archived]) };
  const ofType = catalogue.filter(({ ecu_type }) => ecu_type === archived.ecu_type);
  const walks = { after: createWalks(types.after), before: createWalks(types.before) };
  const cut = ofType.filter((each) => walks.after(each).length > walks.before(each).length);
  const newest = { after: createNewest(types.after), before: createNewest(types.before) };
  const unmet = catalogue.filter((each) =>
    each.requires.some(
      (requirement) =>
        requirement.ecu_type === archived.ecu_type &&
        meets(newest.before(each, requirement), requirement) &&
        !meets(newest.after(each, requirement), requirement),
    ),
  );
  return [...about("CHAIN_CUT", cut), ...about("REQUIREMENT_CUT", unmet)];
}

function about(code: FirmwareWarningCode, firmware: readonly Listed[]): Warning[] {
  if (firmware.length === 0) return [];
  const named = firmware.slice(0, MAX_NAMED).map(nameOf).join(", ");
  const others = firmware.length - MAX_NAMED;
  return [{ code, detail: others > 0 ? `${named} and ${others} more` : named }];
}

function chainBroken(firmware: Listed, types: ByType): Warning[] {
  const hardware = createWalks(types)(firmware);
  if (hardware.length === 0) return [];
  const detail =
    `nothing in the catalogue brings hardware ${hardware.join(", ")} to ` +
    `${firmware.min_current_version}: only what runs that already can go on to ${firmware.version}`;
  return [{ code: "CHAIN_BROKEN", detail }];
}

function requirementsMissing(firmware: Listed, types: ByType): Warning[] {
  const newest = createNewest(types);
  return firmware.requires
    .filter((each) => !meets(newest(firmware, each), each))
    .map(({ ecu_type, min_version }) => ({
      code: "REQUIREMENT_MISSING",
      detail: `nothing in the catalogue brings ${ecu_type} to ${min_version}`,
    }));
}

/** A shortest way back to the firmware's type. */
function requirementCycle(firmware: Listed, types: ByType): Warning[] {
  // From which version on a type's releases have been looked at.
  const seen = new Map<string, SemVer>();
  let ways: Listed[][] = [[firmware]];
  while (ways.length > 0) {
    const next: Listed[][] = [];
    for (const way of ways) {
      for (const { ecu_type, min_version } of way.at(-1)?.requires ?? []) {
        if (ecu_type === firmware.ecu_type) {
          const detail = [...way.map(nameOf), ecu_type].join(" → ");
          return [{ code: "REQUIREMENT_CYCLE", detail }];
        }
        const from = new SemVer(min_version);
        const before = seen.get(ecu_type);
        if (before && before.compare(from) <= 0) continue;
        seen.set(ecu_type, from);
        for (const { listed, version } of types.get(ecu_type) ?? []) {
          const isNew = before === undefined || version.compare(before) < 0;
          if (isNew && version.compare(from) >= 0 && isOpenTo(firmware, listed))
            next.push([...way, listed]);
        }
      }
    }
    ways = next;
  }
  return [];
}

interface Entry {
  listed: Listed;
  version: SemVer;
  min: SemVer | undefined;
}

/** Each type's releases, lowest version first. Versions are read once: there may be thousands. */
type ByType = ReadonlyMap<string, readonly Entry[]>;

function byType(catalogue: readonly Listed[]): ByType {
  const entries = catalogue.map((listed) => ({
    listed,
    version: new SemVer(listed.version),
    min: listed.min_current_version === null ? undefined : new SemVer(listed.min_current_version),
  }));
  entries.sort((one, other) => one.version.compare(other.version));
  return Map.groupBy(entries, ({ listed }) => listed.ecu_type);
}

type Audience = Pick<Listed, "channel" | "availability">;

/** Whether every vehicle that is offered the one may be offered the other too. */
function isOpenTo({ channel, availability }: Audience, other: Listed): boolean {
  const onChannel = channel === "beta" || other.channel === "stable";
  // A campaign may bring along both kinds.
  return onChannel && (availability === "campaign" || other.availability === "channel");
}

/** @returns the hardware on which no steps from any version lead to a firmware */
function createWalks(types: ByType): (firmware: Listed) => string[] {
  const unwalkable = remember((firmware: Audience & { ecu_type: string }, hardware: string) =>
    unwalkableOn(hardware, firmware, types.get(firmware.ecu_type) ?? []),
  );
  return (firmware) =>
    firmware.hardware_versions.filter((hardware) =>
      unwalkable(firmware, hardware).has(firmware.firmware_id),
    );
}

function unwalkableOn(
  hardware: string,
  audience: Audience,
  entries: readonly Entry[],
): Set<string> {
  const unwalkable = new Set<string>();
  // A minimum is a lower bound: the highest version that can be come to opens the most.
  let top: SemVer | undefined;
  let below: SemVer | undefined;
  for (const { listed, version, min } of entries) {
    if (!listed.hardware_versions.includes(hardware) || !isOpenTo(audience, listed)) continue;
    // Builds of one version are no steps to each other.
    if (top && top.compare(version) < 0) below = top;
    const isWalkable = min === undefined || (below !== undefined && below.compare(min) >= 0);
    if (isWalkable) top = version;
    else unwalkable.add(listed.firmware_id);
  }
  return unwalkable;
}

/** @returns the newest version that whoever is offered a firmware may have of a type */
function createNewest(types: ByType) {
  const newest = remember(
    (audience: Audience, ecuType: string) =>
      types.get(ecuType)?.findLast(({ listed }) => isOpenTo(audience, listed))?.version,
  );
  return (firmware: Listed, { ecu_type }: Requirement) => newest(firmware, ecu_type);
}

function meets(version: SemVer | undefined, { min_version }: Requirement): boolean {
  return version !== undefined && version.compare(min_version) >= 0;
}

/** Works out once what depends on an audience, perhaps a type, and a name. */
function remember<Of extends Audience & { ecu_type?: string }, Result>(
  work: (of: Of, name: string) => Result,
): (of: Of, name: string) => Result {
  const known = new Map<string, Result>();
  return (of, name) => {
    const key = [of.channel, of.availability, of.ecu_type, name].join(" ");
    let result = known.get(key);
    if (result === undefined) {
      result = work(of, name);
      known.set(key, result);
    }
    return result;
  };
}

function nameOf({ ecu_type, version }: Listed): string {
  return `${ecu_type} ${version}`;
}
