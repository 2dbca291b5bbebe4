import type { CampaignReason, CampaignVehicleStatus } from "#protocol/api/campaign.ts";
import type { UpdateMoved } from "#server/updates/moved.ts";
import { hasStarted, isFinal, showsTargets, type Target } from "#server/updates/update.ts";
import type { InventoryEcu } from "#server/vehicles/inventory.ts";
import type { Brought } from "./brought.ts";
import type { CountedGroup, NewDtc } from "./table.ts";

/** How a vehicle stands in a campaign. */
export interface Participation {
  status: CampaignVehicleStatus;
  /** The newest one. */
  update_id: string | null;
  /** How many updates were made for it. */
  attempts: number;
  reason: CampaignReason | null;
  soak_until: Date | null;
  finished_at: Date | null;
  /** What it is counted by beside the whole. */
  groups: readonly CountedGroup[];
  /** New after one of its updates. */
  dtcs: readonly NewDtc[] | null;
}

/** What a campaign says of its vehicles' success. */
export interface SuccessRules {
  soak_min: number;
  new_dtcs: "count" | "ignore";
}

const MINUTE = 60_000;

/**
 * How a vehicle stands after a step of its update; undefined: as before. What comes of an update
 * that is not its newest, or twice, changes nothing.
 * @param brought what its VCI shows of the campaign's releases; asked for with a success only
 */
export function afterMove(
  before: Participation | undefined,
  { update_id, targets, from, to, error, ecu_id }: UpdateMoved,
  { rules, brought, now }: { rules: SuccessRules; brought: Brought; now: Date },
): Participation | undefined {
  if (from === null) return joined(before, update_id, targets);
  const isItsOwn = before?.update_id === update_id;
  if (!isItsOwn || (before.status !== "waiting" && before.status !== "updating")) return undefined;
  if (to === "success") {
    if (brought === "lacking") return changed(before, { status: "waiting" });
    return proven(before, targets, rules, now);
  }
  if (to === "failed" || to === "rolled_back") {
    const { code, message: detail } = error ?? { code: "UPDATE_FAILED", message: "" };
    const blamed = blame(before.groups, targets, ecu_id === null ? [] : [ecu_id]);
    return ended(before, { status: to, reason: { code, detail }, groups: blamed }, now);
  }
  const isAtWork = hasStarted(to) && !isFinal(to);
  return changed(before, { status: isAtWork ? "updating" : "waiting" });
}

function joined(
  before: Participation | undefined,
  update_id: string,
  targets: readonly Target[],
): Participation {
  const groups = [...(before?.groups ?? [])].map(({ failed: _, ...group }) => group);
  for (const { ecu_type, hardware_version } of targets) {
    if (!groups.some((group) => isSame(group, { ecu_type, hardware_version }))) {
      groups.push({ ecu_type, hardware_version });
    }
  }
  return {
    status: "waiting",
    update_id,
    attempts: (before?.attempts ?? 0) + 1,
    reason: before?.reason ?? null,
    soak_until: null,
    finished_at: null,
    groups,
    dtcs: before?.dtcs ?? null,
  };
}

/** Everything is there: it has succeeded, or has to stay so for a while, unless DTCs say otherwise. */
function proven(
  before: Participation,
  targets: readonly Target[],
  rules: SuccessRules,
  now: Date,
): Participation {
  if (rules.new_dtcs === "count" && before.dtcs !== null) return failedByDtcs(before, targets, now);
  if (rules.soak_min === 0) return ended(before, { status: "succeeded", reason: null }, now);
  const soak_until = new Date(now.getTime() + rules.soak_min * MINUTE);
  return { ...before, status: "soaking", reason: null, soak_until, finished_at: null };
}

/** It has stayed as it is for long enough. */
export function afterSoak(before: Participation, now: Date): Participation | undefined {
  if (before.status !== "soaking" || before.soak_until === null || before.soak_until > now) {
    return undefined;
  }
  return ended(before, { status: "succeeded" }, now);
}

/**
 * How a vehicle stands once DTCs are known that are new after one of its updates; undefined: as
 * before. Those of an update that is not proven yet count with its proof.
 */
export function afterNewDtcs(
  before: Participation,
  dtcs: readonly NewDtc[],
  { rules, targets, now }: { rules: SuccessRules; targets: readonly Target[]; now: Date },
): Participation | undefined {
  const fresh = dtcs.filter(
    (dtc) => !before.dtcs?.some(({ ecu_id, code }) => ecu_id === dtc.ecu_id && code === dtc.code),
  );
  if (fresh.length === 0) return undefined;
  const known = { ...before, dtcs: [...(before.dtcs ?? []), ...fresh].slice(0, MAX_DTCS) };
  const isProven = before.status === "soaking" || before.status === "succeeded";
  return isProven && rules.new_dtcs === "count" ? failedByDtcs(known, targets, now) : known;
}

const MAX_DTCS = 100;

/** @param targets whose ECUs are meant by the DTCs; without them it is all that it was given */
function failedByDtcs(before: Participation, targets: readonly Target[], now: Date): Participation {
  const dtcs = before.dtcs ?? [];
  const detail = dtcs.map(({ ecu_id, code }) => `${ecu_id} ${code}`).join(", ");
  const ecus = dtcs.map(({ ecu_id }) => ecu_id);
  return ended(
    before,
    {
      status: "failed",
      reason: { code: NEW_DTCS, detail: detail.slice(0, 1000) },
      groups: blame(before.groups, targets, ecus),
    },
    now,
  );
}

const NEW_DTCS = "CAMPAIGN_NEW_DTCS";

/** What a new VCI says of a vehicle that takes part. */
export interface Reported {
  brought: Brought;
  ecus: readonly InventoryEcu[];
  /** Of its updates in this campaign, or of the newest one if that was silent; where it matters. */
  targets: readonly Target[];
  /** What it was told by an operator to go back by has ended. */
  hasGoneBack: boolean;
}

/**
 * How a vehicle stands after a VCI that no update was waiting for; undefined: as before. One that
 * had succeeded and runs what it ran before its update has fallen back: that is a failure, unless it
 * was told to go back, however late. One that was changed otherwise (another ECU, a version from
 * elsewhere) is open again.
 */
export function afterReport(
  before: Participation,
  reported: Reported,
  { rules, now }: { rules: SuccessRules; now: Date },
): Participation | undefined {
  const { brought, ecus, targets } = reported;
  switch (before.status) {
    case "soaking":
    case "succeeded":
      if (brought !== "lacking") return undefined;
      if (before.reason?.code === ROLLBACK_FAILED) return goneBack(before, now);
      return contradicted(before, { ecus, targets }, now);
    case "waiting":
      return brought === "all" ? proven(before, targets, rules, now) : undefined;
    case "failed":
      return isSilence(before.reason) ? provenLate(before, reported, { rules, now }) : undefined;
    case "reverting":
      if (brought !== "all") return goneBack(before, now);
      return reported.hasGoneBack
        ? notReverted(before, "it still runs what it got", now)
        : undefined;
    case "updating":
    case "rolled_back":
    case "reverted":
      return undefined;
  }
}

/** Silence was all that spoke against it, and that is over; there may be a step to come. */
function provenLate(
  before: Participation,
  { brought, ecus, targets }: Reported,
  { rules, now }: { rules: SuccessRules; now: Date },
): Participation | undefined {
  const cleared = { ...before, groups: unblamed(before.groups) };
  if (brought === "all") return proven(cleared, targets, rules, now);
  const isStep = brought === "lacking" && targets.length > 0 && showsTargets(targets, ecus);
  return isStep ? { ...cleared, status: "waiting", reason: null, finished_at: null } : undefined;
}

const VCI_CONTRADICTS = "CAMPAIGN_VCI_CONTRADICTS";

export function isContradiction(reason: CampaignReason | null): boolean {
  return reason?.code === VCI_CONTRADICTS;
}

function contradicted(
  before: Participation,
  { ecus, targets }: Pick<Reported, "ecus" | "targets">,
  now: Date,
): Participation {
  const byId = new Map(ecus.map((ecu) => [ecu.ecu_id, ecu]));
  const fallen = targets.filter(({ ecu_id, hardware_version, from_version }) => {
    const ecu = byId.get(ecu_id);
    return ecu?.hardware_version === hardware_version && ecu.software_version === from_version;
  });
  const reason = { code: VCI_CONTRADICTS, detail: "" };
  if (fallen.length > 0) {
    const ids = [...new Set(fallen.map(({ ecu_id }) => ecu_id))];
    reason.detail = `runs again what it ran before: ${ids.join(", ")}`.slice(0, 1000);
    const groups = blame(before.groups, fallen, ids);
    return ended(before, { status: "rolled_back", reason, groups }, now);
  }
  reason.detail = "its ECUs or their versions were changed by other means";
  const groups = before.groups.filter((group) => ecus.some((ecu) => isSame(group, ecu)));
  return { ...before, status: "waiting", reason, groups, soak_until: null, finished_at: null };
}

/** It was told to go back to what it ran before. */
export function reverting(before: Participation): Participation {
  return { ...before, status: "reverting", reason: null, soak_until: null, finished_at: null };
}

/** It runs what it ran before, as it was told. */
export function goneBack(before: Participation, now: Date): Participation {
  return ended(before, { status: "reverted", reason: null }, now);
}

/** It keeps what it has: it has succeeded, and the reason says why it did not go back. */
export function notReverted(before: Participation, detail: string, now: Date): Participation {
  const reason = { code: ROLLBACK_FAILED, detail: detail.slice(0, 1000) };
  return ended(before, { status: "succeeded", reason }, now);
}

export const ROLLBACK_FAILED = "CAMPAIGN_ROLLBACK_FAILED";

/** A vehicle that failed gets another try. */
export function retried(before: Participation): Participation {
  return {
    ...before,
    status: "waiting",
    reason: null,
    finished_at: null,
    groups: unblamed(before.groups),
    dtcs: null,
  };
}

/**
 * A vehicle that failed by DTCs alone and runs all that it got: there is nothing to try again, so
 * that another try acknowledges the DTCs.
 */
export function acknowledged(before: Participation, rules: SuccessRules, now: Date): Participation {
  return proven(retried(before), [], rules, now);
}

const silences = ["UPDATE_SILENT", "UPDATE_DEADLINE"];

export function isSilence(reason: CampaignReason | null): boolean {
  return reason !== null && silences.includes(reason.code);
}

export function isNewDtcs(reason: CampaignReason | null): boolean {
  return reason?.code === NEW_DTCS;
}

function ended(
  before: Participation,
  change: Pick<Participation, "status"> & Partial<Participation>,
  now: Date,
): Participation {
  return { ...before, ...change, soak_until: null, finished_at: now };
}

function changed(before: Participation, change: Partial<Participation>): Participation | undefined {
  const isNew = Object.entries(change).some(
    ([name, value]) => before[name as keyof Participation] !== value,
  );
  return isNew ? { ...before, ...change } : undefined;
}

/** Charges a failure to the groups of the ECUs that it was by; where none is known, to all targets. */
function blame(
  groups: readonly CountedGroup[],
  targets: readonly Target[],
  ecuIds: readonly string[],
): CountedGroup[] {
  const meant = targets.filter(({ ecu_id }) => ecuIds.includes(ecu_id));
  const charged = meant.length > 0 ? meant : targets;
  return groups.map(({ ecu_type, hardware_version }) => {
    const group = { ecu_type, hardware_version };
    const isMeant = charged.length === 0 || charged.some((target) => isSame(target, group));
    return isMeant ? { ...group, failed: true } : group;
  });
}

function unblamed(groups: readonly CountedGroup[]): CountedGroup[] {
  return groups.map(({ failed: _, ...group }) => group);
}

function isSame(
  one: Pick<CountedGroup, "ecu_type" | "hardware_version">,
  other: Pick<CountedGroup, "ecu_type" | "hardware_version">,
): boolean {
  return one.ecu_type === other.ecu_type && one.hardware_version === other.hardware_version;
}
