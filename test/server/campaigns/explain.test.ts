import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { loadServerConfig } from "#config/server.ts";
import type { Explanation } from "#protocol/api/explain.ts";
import { openCampaignBook, type CampaignBook } from "#server/campaigns/book.ts";
import { createExplainer } from "#server/campaigns/explain.ts";
import { createOffers } from "#server/campaigns/offers.ts";
import { openReleaseBook, type ReleaseBook } from "#server/firmware/release-book.ts";
import { openPolicyBook, type PolicyBook } from "#server/policies/policy-book.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import {
  ecusAt,
  insertFirmware,
  insertRunning,
  insertVehicles,
  showEcus,
  targetOf,
  type Brought,
} from "./campaign-data.ts";

let own: OwnDatabase;
let releases: ReleaseBook;
let campaigns: CampaignBook;
let policies: PolicyBook;
let defaults: ReturnType<typeof loadServerConfig>["policies"]["default"];
let explainer: ReturnType<typeof createExplainer>;
let vin: string;
let bare: string;
let other: string;
let brake: Brought;
let lights: Brought;
const now = new Date("2026-05-04T10:00:00Z");

beforeAll(async () => {
  own = await ownDatabase();
  [vin = "", bare = "", other = ""] = await insertVehicles(own.db, 3);
  await showEcus(own.db, vin, ecusAt());
  brake = await published("brake", "campaign");
  lights = await published("lights", "channel");
  const deps = { db: own.db, everyMs: undefined, log: silentLog };
  defaults = structuredClone(loadServerConfig({}).policies.default);
  releases = await openReleaseBook(deps);
  campaigns = await openCampaignBook(deps);
  policies = await openPolicyBook({ ...deps, defaults });
  const offers = createOffers({ campaigns, releases, log: silentLog });
  explainer = createExplainer({ db: own.db, releases, offers, policies });
});
afterAll(async () => {
  for (const each of [releases, campaigns, policies]) each.stop();
  await own.remove();
});

async function published(ecu_type: string, availability: "channel" | "campaign") {
  const firmware = await insertFirmware(own.db, { ecu_type });
  const { firmware_id } = firmware;
  const change = { availability, published_at: now };
  await own.db.updateTable("firmware").set(change).where("firmware_id", "=", firmware_id).execute();
  return firmware;
}

async function explain({ firmware_id }: Brought, who = vin): Promise<Explanation> {
  await campaigns.refresh();
  await releases.refresh();
  return explainer(who, { firmware_id }, now);
}

const codes = ({ reasons }: Pick<Explanation, "reasons">) => reasons.map(({ code }) => code);

describe("why a vehicle gets a firmware", () => {
  it("is that its channel offers it", async () => {
    const found = await explain(lights);
    expect(found).toMatchObject({ verdict: "offered", reasons: [], campaigns: [], update: null });
    expect(found.ecus).toEqual([
      {
        ecu_id: "ECU_003",
        hardware_version: "HW-1.0",
        software_version: "1.0.0",
        offer: "now",
        after_bundles: null,
        reasons: [],
      },
    ]);
    expect(await explainer(vin, { ecu_type: "lights", version: "2.0.0" }, now)).toEqual(found);
  });

  it("is that a campaign brings it, or else which part of its filter does not fit", async () => {
    const filter = 'ecu("brake") and (model == "Z9" or region == "EU") and not tag == "test"';
    const strange = await insertRunning(own.db, [brake], { filter });
    const alone = await explain(brake);
    expect(alone).toMatchObject({
      verdict: "not_offered",
      ecus: [{ offer: "none", reasons: [{ code: "CAMPAIGN_ONLY" }] }],
      campaigns: [
        {
          campaign_id: strange,
          offers: false,
          reasons: [{ code: "CAMPAIGN_NOT_TARGETED" }],
          unmatched: ['model == "Z9" or region == "EU"'],
          part: null,
        },
      ],
    });
    const fitting = await insertRunning(own.db, [brake], { critical: true });
    const both = await explain(brake);
    expect(both.verdict).toBe("offered");
    expect(both.campaigns[0]).toMatchObject({
      ...{ campaign_id: fitting, offers: true, reasons: [], unmatched: [], wave: 0 },
    });
    // What goes first takes the lights' turn.
    expect(await explain(lights)).toMatchObject({
      verdict: "not_offered",
      ecus: [{ offer: "none", reasons: [{ code: "NOT_NEEDED" }] }],
    });
    await own.db
      .updateTable("campaign")
      .set({ state: "stopped", changed_at: new Date() })
      .execute();
  });

  it("is that its wave is open, or else when it opens", async () => {
    const steering = await published("brake2", "campaign");
    const ecus = ecusAt().map((ecu) => ({ ...ecu, ecu_type: `${ecu.ecu_type}2` }));
    await showEcus(own.db, other, ecus);
    const waves = [{ share: 1e-9 }, { share: 100 - 1e-9, gate: { after_min: 90 } }];
    await insertRunning(own.db, [steering], { waves: JSON.stringify(waves), waves_opened: [now] });
    expect((await explain(steering, other)).campaigns).toMatchObject([
      {
        wave: 1,
        wave_opens_at: "2026-05-04T11:30:00.000Z",
        reasons: [{ code: "CAMPAIGN_WAVE_CLOSED" }],
      },
    ]);
  });
});

describe("what is in the way of a firmware", () => {
  it("is told of the vehicle as a whole", async () => {
    expect(codes(await explain(lights, bare))).toEqual(["VCI_MISSING"]);
    const radar = await published("radar", "channel");
    expect(codes(await explain(radar))).toEqual(["ECU_TYPE_ABSENT"]);
    const minimum = (min_profile: number | null) =>
      own.db.updateTable("vehicle").set({ min_profile }).where("vin", "=", vin).execute();
    await minimum(4);
    const weak = await explain(lights);
    expect([weak.verdict, codes(weak)]).toEqual(["waits", ["TLS_PROFILE_TOO_WEAK"]]);
    await minimum(null);
  });

  it("is the firmware itself", async () => {
    const gone = await published("lights2", "channel");
    await own.db
      .updateTable("firmware")
      .set({ status: "archived", archived_at: now })
      .where("firmware_id", "=", gone.firmware_id)
      .execute();
    expect(codes(await explain(gone))).toContain("FIRMWARE_ARCHIVED");
    expect(codes(await explain(await insertFirmware(own.db, { ecu_type: "x" })))).toContain(
      "FIRMWARE_UNSIGNED",
    );
  });

  it("is the policy", async () => {
    await own.db
      .insertInto("update_policy")
      .values({
        policy_id: randomUUID(),
        vin,
        settings: JSON.stringify({ mode: "manual" }),
        changed_by: "anna",
      })
      .execute();
    await policies.refresh();
    expect(await explain(lights)).toMatchObject({
      verdict: "waits",
      reasons: [{ code: "POLICY_MANUAL" }],
      policy: { source: "vehicle" },
    });
  });

  it("is another update, or this very one is under way", async () => {
    await own.db
      .insertInto("package")
      .values({
        package_id: "p",
        manifest: Buffer.alloc(0),
        signatures: Buffer.alloc(0),
        size: 0,
        sha256: "",
        zones: "[]",
      })
      .execute();
    const update_id = randomUUID();
    const targets = JSON.stringify([targetOf(brake)]);
    await own.db
      .insertInto("vehicle_update")
      .values({ update_id, vin, package_id: "p", status: "installing", targets })
      .execute();
    expect(codes(await explain(lights))).toContain("UPDATE_UNDER_WAY");
    expect(await explain(brake)).toMatchObject({
      verdict: "under_way",
      update: { update_id, status: "installing", campaign_id: null },
    });
  });

  it("is that nobody knows the vehicle or the firmware", async () => {
    await expect(explain(lights, "NOBODY")).rejects.toMatchObject({ code: "VEHICLE_UNKNOWN" });
    await expect(explainer(vin, { firmware_id: randomUUID() }, now)).rejects.toMatchObject({
      code: "FIRMWARE_UNKNOWN",
    });
    for (const query of [{}, { ecu_type: "lights" }]) {
      await expect(explainer(vin, query, now)).rejects.toMatchObject({ code: "REQUEST_INVALID" });
    }
  });
});
