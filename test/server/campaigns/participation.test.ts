import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { updateStatuses, type UpdateStatus } from "#protocol/api/update.ts";
import type { Brought } from "#server/campaigns/brought.ts";
import { counted, difference, nothing, type Counts } from "#server/campaigns/count.ts";
import {
  afterMove,
  afterNewDtcs,
  afterReport,
  afterSoak,
  notReverted,
  retried,
  type Participation,
  type SuccessRules,
} from "#server/campaigns/participation.ts";
import type { UpdateMoved } from "#server/updates/moved.ts";
import { isFinal } from "#server/updates/update.ts";
import { sampleTarget } from "#test/helpers/fleet-data.ts";

const now = new Date("2026-03-01T10:00:00Z");
const later = (minutes: number) => new Date(now.getTime() + minutes * 60_000);
const plain: SuccessRules = { soak_min: 0, new_dtcs: "ignore" };
const strict: SuccessRules = { soak_min: 60, new_dtcs: "count" };

const brake = sampleTarget();
const lights = sampleTarget({ ecu_id: "ECU_003", ecu_type: "lights", hardware_version: "HW-2.0" });
const groupOf = ({ ecu_type, hardware_version }: typeof brake) => ({ ecu_type, hardware_version });
const blamed = (target: typeof brake) => ({ ...groupOf(target), failed: true as const });

function move(to: UpdateStatus, change: Partial<UpdateMoved> = {}): UpdateMoved {
  return {
    update_id: "update-1",
    vin: "VIN",
    campaign_id: "campaign",
    targets: [brake, lights],
    from: "pending",
    to,
    error: null,
    ecu_id: null,
    ...change,
  };
}

function made(change: Partial<UpdateMoved> = {}): Participation {
  const after = afterMove(undefined, move("pending", { from: null, ...change }), {
    rules: plain,
    brought: "nothing",
    now,
  });
  if (after === undefined) throw new Error("it does not join");
  return after;
}

const standing = (change: Partial<Participation> = {}): Participation => ({
  ...made(),
  status: "updating",
  ...change,
});

interface Found {
  rules?: SuccessRules;
  brought?: Brought;
}
function moved(before: Participation, update: UpdateMoved, found: Found = {}) {
  return afterMove(before, update, { rules: plain, brought: "all", now, ...found });
}

describe("an update", () => {
  it("lets the vehicle join when it is made, counted by what it has for it", () => {
    expect(made()).toMatchObject({
      status: "waiting",
      update_id: "update-1",
      attempts: 1,
      groups: [groupOf(brake), groupOf(lights)],
    });
  });

  /** What each status that an update comes to makes of a vehicle at work. */
  const becomes: Record<UpdateStatus, Participation["status"] | undefined> = {
    pending: "waiting",
    deferred: "waiting",
    downloading: undefined,
    verifying: undefined,
    backing_up: undefined,
    installing: undefined,
    restarting: undefined,
    health_check: undefined,
    rolling_back: undefined,
    success: "succeeded",
    failed: "failed",
    rolled_back: "rolled_back",
    cancelled: "waiting",
    expired: "waiting",
  };
  it.for(Object.entries(becomes))("that comes to %s: %s", ([to, status]) => {
    const after = moved(standing(), move(to as UpdateStatus));
    expect(after?.status).toBe(status);
  });

  it("that is begun, deferred and begun again is one attempt", () => {
    const begun = moved(made(), move("downloading"));
    const waiting = begun && moved(begun, move("deferred", { from: "downloading" }));
    const again = waiting && moved(waiting, move("downloading", { from: "deferred" }));
    expect([begun?.status, waiting?.status, again?.status]).toEqual([
      "updating",
      "waiting",
      "updating",
    ]);
    expect(again?.attempts).toBe(1);
  });

  it.for(updateStatuses.filter((to) => to !== "pending"))(
    "changes nothing when it is not the vehicle's newest: %s",
    (to) => {
      expect(moved(standing(), move(to, { update_id: "update-0" }))).toBeUndefined();
    },
  );

  it.for(["soaking", "succeeded", "failed", "rolled_back", "reverting", "reverted"] as const)(
    "changes nothing of a vehicle that %s",
    (status) => {
      for (const to of updateStatuses) {
        expect(moved(standing({ status }), move(to))).toBeUndefined();
      }
    },
  );

  it("counts only once the last bundle is there", () => {
    const between = moved(standing(), move("success"), { brought: "lacking" });
    expect(between?.status).toBe("waiting");
    const second =
      between && moved(between, move("pending", { from: null, update_id: "update-2" }));
    expect(second).toMatchObject({ status: "waiting", update_id: "update-2", attempts: 2 });
    const begun = second && moved(second, move("installing", { update_id: "update-2" }));
    const done = begun && moved(begun, move("success", { update_id: "update-2" }));
    expect(done).toMatchObject({ status: "succeeded", finished_at: now });
  });

  it("is charged with a failure by the ECU that it was by, else by all", () => {
    const error = { code: "FLASH_FAILED", message: "no answer" };
    const by = moved(standing(), move("failed", { error, ecu_id: "ECU_003" }));
    expect(by?.groups).toEqual([groupOf(brake), blamed(lights)]);
    expect(by?.reason).toEqual({ code: "FLASH_FAILED", detail: "no answer" });
    const unknown = moved(standing(), move("rolled_back", { error }));
    expect(unknown?.groups).toEqual([blamed(brake), blamed(lights)]);
  });
});

describe("soaking", () => {
  const soaking = moved(standing(), move("success"), { rules: strict }) ?? made();

  it("begins with the proof and ends in success when its time is over", () => {
    expect(soaking).toMatchObject({
      status: "soaking",
      soak_until: later(60),
      finished_at: null,
    });
    expect(afterSoak(soaking, later(59))).toBeUndefined();
    expect(afterSoak(soaking, later(60))).toMatchObject({
      status: "succeeded",
      soak_until: null,
      finished_at: later(60),
    });
  });

  it("is nothing that others are in", () => {
    expect(afterSoak(standing({ status: "failed" }), later(60))).toBeUndefined();
  });
});

describe("DTCs that are new", () => {
  const dtcs = [{ ecu_id: "ECU_003", code: "P0601-00" }];
  const told = (before: Participation, rules = strict) =>
    afterNewDtcs(before, dtcs, { rules, targets: [brake, lights], now });

  it.for([strict, { ...strict, soak_min: 0 }])(
    "fail a vehicle before its proof or after",
    (rules) => {
      const early = told(standing(), rules);
      expect(early?.status).toBe("updating");
      const first = early && moved(early, move("success"), { rules });
      const proven = moved(standing(), move("success"), { rules });
      const second = proven && told(proven, rules);
      expect(first).toEqual(second);
      expect(first).toMatchObject({
        status: "failed",
        reason: { code: "CAMPAIGN_NEW_DTCS", detail: "ECU_003 P0601-00" },
        groups: [groupOf(brake), blamed(lights)],
        soak_until: null,
      });
    },
  );

  it("say nothing where the campaign does not count them", () => {
    const rules = { ...strict, new_dtcs: "ignore" } as const;
    const proven = moved(standing(), move("success"), { rules });
    expect(proven && told(proven, rules)).toMatchObject({ status: "soaking", dtcs });
  });

  it("count once", () => {
    const failed = told(standing({ status: "succeeded" }));
    expect(failed && told(failed)).toBeUndefined();
  });
});

describe("a VCI that no update waited for", () => {
  const ecu = (target: typeof brake, change: object = {}) => ({
    ecu_id: target.ecu_id,
    zone_id: target.zone_id,
    ecu_type: target.ecu_type,
    hardware_version: target.hardware_version,
    software_version: target.to_version,
    ...change,
  });
  const report = (
    before: Participation,
    brought: Brought,
    { ecus = [ecu(brake), ecu(lights)], hasGoneBack = false } = {},
  ) =>
    afterReport(
      before,
      { brought, ecus, targets: [brake, lights], hasGoneBack },
      { rules: plain, now },
    );

  it.for(["succeeded", "soaking"] as const)("confirms one that is %s", (status) => {
    expect(report(standing({ status }), "all")).toBeUndefined();
  });

  it.for(["succeeded", "soaking"] as const)("shows that one %s has fallen back", (status) => {
    const ecus = [ecu(brake), ecu(lights, { software_version: lights.from_version })];
    expect(report(standing({ status, soak_until: now }), "lacking", { ecus })).toMatchObject({
      status: "rolled_back",
      reason: { code: "CAMPAIGN_VCI_CONTRADICTS" },
      groups: [groupOf(brake), blamed(lights)],
      soak_until: null,
      finished_at: now,
    });
  });

  it.for([
    ["other hardware", { hardware_version: "HW-3.0", software_version: "1.0.0" }],
    ["a version that nobody published", { software_version: "0.0.7" }],
  ] as const)("opens one again that has %s", ([, change]) => {
    const ecus = [ecu(brake), ecu(lights, change)];
    const after = report(standing({ status: "succeeded", finished_at: now }), "lacking", { ecus });
    expect(after).toMatchObject({
      status: "waiting",
      reason: { code: "CAMPAIGN_VCI_CONTRADICTS" },
      finished_at: null,
    });
    const isReplaced = "hardware_version" in change;
    const groups = isReplaced ? [groupOf(brake)] : [groupOf(brake), groupOf(lights)];
    expect(after?.groups).toEqual(groups);
  });

  it("ends well what only waited, or was only silent", () => {
    expect(report(standing({ status: "waiting" }), "all")?.status).toBe("succeeded");
    const silent = { code: "UPDATE_DEADLINE", detail: "" };
    const failed = standing({ status: "failed", reason: silent, groups: [blamed(brake)] });
    expect(report(failed, "all")).toMatchObject({
      status: "succeeded",
      reason: null,
      groups: [groupOf(brake)],
    });
  });

  it("does not make good what has failed otherwise", () => {
    const reason = { code: "FLASH_FAILED", detail: "" };
    expect(report(standing({ status: "failed", reason }), "all")).toBeUndefined();
    expect(report(standing({ status: "rolled_back", reason }), "all")).toBeUndefined();
  });

  it("proves that a vehicle has gone back, or has not", () => {
    const reverting = standing({ status: "reverting" });
    expect(report(reverting, "lacking")?.status).toBe("reverted");
    expect(report(reverting, "all")).toBeUndefined();
    expect(report(reverting, "all", { hasGoneBack: true })).toMatchObject({
      status: "succeeded",
      reason: { code: "CAMPAIGN_ROLLBACK_FAILED" },
    });
  });
});

describe("another try", () => {
  it("begins without blame and with the attempts that there were", () => {
    const failed = standing({
      status: "failed",
      reason: { code: "CAMPAIGN_NEW_DTCS", detail: "" },
      groups: [blamed(brake), groupOf(lights)],
      dtcs: [{ ecu_id: "ECU_001", code: "P0601-00" }],
      finished_at: now,
    });
    expect(retried(failed)).toMatchObject({
      status: "waiting",
      reason: null,
      attempts: 1,
      groups: [groupOf(brake), groupOf(lights)],
      dtcs: null,
      finished_at: null,
    });
  });
});

describe("the counters", () => {
  it("are what one would count, whatever comes in whichever order", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), step), { maxLength: 60 }), (steps) => {
        const fleet: (Participation | undefined)[] = [];
        const sums = new Map<string, Counts>();
        for (const [vehicle, take] of steps) {
          const before = fleet[vehicle];
          const after = take(before);
          if (after === undefined) continue;
          fleet[vehicle] = after;
          add(sums, difference(before, after));
        }
        const recount = new Map<string, Counts>();
        for (const each of fleet) if (each) add(recount, difference(undefined, each));
        expect(withoutEmpty(sums)).toEqual(withoutEmpty(recount));
        for (const counts of sums.values()) {
          const { started, updating, soaking, succeeded, failed, rolled_back, reverted } = counts;
          expect(Math.min(...Object.values(counts))).toBeGreaterThanOrEqual(0);
          const ended = succeeded + failed + rolled_back + reverted;
          expect(updating + soaking + ended).toBeLessThanOrEqual(started);
          expect(counts.silent + counts.new_dtcs).toBeLessThanOrEqual(failed);
        }
      }),
      { numRuns: 500 },
    );
  });

  it("name the whole vehicle first, also where nothing of it changes", () => {
    const before = made();
    const after = { ...before, groups: [groupOf(brake)] };
    expect(difference(before, after)).toEqual([
      { ecu_type: "", hardware_version: "", counts: nothing() },
      { ...groupOf(lights), counts: { ...nothing(), started: -1 } },
    ]);
  });
});

function add(sums: Map<string, Counts>, changes: ReturnType<typeof difference>): void {
  for (const { ecu_type, hardware_version, counts } of changes) {
    const key = `${ecu_type} ${hardware_version}`;
    const sum = sums.get(key) ?? nothing();
    for (const each of counted) sum[each] += counts[each];
    sums.set(key, sum);
  }
}

function withoutEmpty(sums: Map<string, Counts>): Map<string, Counts> {
  return new Map(
    [...sums]
      .filter(([, counts]) => Object.values(counts).some((count) => count !== 0))
      .sort(([one], [other]) => (one < other ? -1 : 1)),
  );
}

type Step = (before: Participation | undefined) => Participation | undefined;

const someTargets = fc.subarray([brake, lights], { minLength: 1 });
const brought = fc.constantFrom<Brought>("all", "lacking", "nothing");
const rulesOf = fc.constantFrom(plain, strict);
const version = fc.constantFrom("1.0.0", "1.2.3", "0.0.7");

const step: fc.Arbitrary<Step> = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(...updateStatuses),
      fc.boolean(),
      fc.constantFrom("update-1", "update-2"),
      someTargets,
      fc.constantFrom(null, "ECU_001", "ECU_003"),
      fc.constantFrom(null, "UPDATE_DEADLINE", "FLASH_FAILED"),
    )
    .chain(([to, isMade, update_id, targets, ecu_id, code]) =>
      fc.tuple(rulesOf, brought).map(([rules, brought]): Step => {
        const error = code === null ? null : { code, message: "" };
        const from = isMade ? null : "pending";
        const update = move(isMade && isFinal(to) ? "pending" : to, {
          update_id,
          targets,
          ecu_id,
          error,
          from,
        });
        return (before) =>
          before === undefined && from !== null
            ? undefined
            : afterMove(before, update, { rules, brought, now });
      }),
    ),
  fc
    .tuple(rulesOf, brought, version, fc.boolean())
    .map(([rules, brought, software_version, hasGoneBack]): Step => (before) => {
      const ecus = [{ ...groupOf(lights), ecu_id: "ECU_003", zone_id: "Z", software_version }];
      const reported = { brought, ecus, targets: [brake, lights], hasGoneBack };
      return before && afterReport(before, reported, { rules, now });
    }),
  rulesOf.map(
    (rules): Step =>
      (before) =>
        before &&
        afterNewDtcs(before, [{ ecu_id: "ECU_001", code: "P0601-00" }], {
          rules,
          targets: [brake],
          now,
        }),
  ),
  fc.constantFrom<Step>(
    (before) => before && afterSoak(before, later(60)),
    (before) => (before?.status === "failed" ? retried(before) : undefined),
    (before) => (before?.status === "succeeded" ? { ...before, status: "reverting" } : undefined),
    (before) => (before?.status === "reverting" ? notReverted(before, "", now) : undefined),
  ),
);
