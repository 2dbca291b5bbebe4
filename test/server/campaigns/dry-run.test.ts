import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { waveOf } from "#server/campaigns/campaign.ts";
import { dryRun, type DryRunCampaign } from "#server/campaigns/dry-run.ts";
import { openReleaseBook, type ReleaseBook } from "#server/firmware/release-book.ts";
import { share } from "#server/targeting/membership.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";
import {
  ecusAt,
  insertFirmware,
  insertRunning,
  insertVehicles,
  showEcus,
  type Brought,
} from "./campaign-data.ts";

let own: OwnDatabase;
let releases: ReleaseBook;
let brakes: [step: Brought, last: Brought];
let withdrawn: Brought;
let vins: string[];

beforeAll(async () => {
  own = await ownDatabase();
  brakes = [await published("1.5.0", { compressed_size: 10 }), await published("2.0.0", {})];
  await patch(brakes[1], { compressed_size: 20, min_current_version: "1.5.0" });
  withdrawn = await published("3.0.0", { status: "archived" });
  vins = await insertVehicles(own.db, 12);
  const [upToDate, other, lightsOnly, , ...old] = vins as [string, string, string, string];
  await showEcus(own.db, upToDate, ecusAt("2.0.0"));
  await showEcus(
    own.db,
    other,
    ecusAt("1.0.0").map((ecu) => ({ ...ecu, hardware_version: "HW-9" })),
  );
  await showEcus(own.db, lightsOnly, ecusAt().slice(1));
  for (const vin of old) await showEcus(own.db, vin, ecusAt("1.0.0"));
  releases = await openReleaseBook({ db: own.db, everyMs: undefined, log: silentLog });
});
afterAll(async () => {
  releases.stop();
  await own.remove();
});

async function published(version: string, change: Parameters<typeof patch>[1]) {
  const firmware = await insertFirmware(own.db, { version });
  await patch(firmware, { published_at: new Date(), ...change });
  return firmware;
}

const patch = (
  { firmware_id }: Brought,
  change: {
    compressed_size?: number;
    min_current_version?: string;
    status?: "archived";
    published_at?: Date;
  },
) => own.db.updateTable("firmware").set(change).where("firmware_id", "=", firmware_id).execute();

const campaign = (change: Partial<DryRunCampaign> = {}): DryRunCampaign => ({
  campaign_id: randomUUID(),
  releases: brakes.map(({ firmware_id }) => firmware_id),
  filter: null,
  vins: null,
  percentage: 100,
  waves: [{ share: 100 }],
  stop_rule: null,
  started_at: null,
  min_profile: null,
  starts_at: null,
  ends_at: null,
  ...change,
});

const run = (change: Partial<DryRunCampaign> = {}) =>
  dryRun({ db: own.db, releases }, campaign(change));

describe("a dry run", () => {
  it("says what becomes of whom", async () => {
    expect(await run()).toEqual({
      matched: 12,
      members: 12,
      waves: [{ wave: 0, members: 12, planned: 8 }],
      planned: {
        vehicles: 8,
        bundles: [{ bundles: 2, vehicles: 8 }],
        bytes: { total: 240, p50: 30, max: 30 },
        ecus: [
          { ecu_type: "brake", version: "1.5.0", ecus: 8, vehicles: 8 },
          { ecu_type: "brake", version: "2.0.0", ecus: 8, vehicles: 8 },
        ],
      },
      up_to_date: 1,
      not_concerned: 1,
      without_vci: 1,
      blocked: {
        vehicles: 1,
        reasons: [
          {
            reason: "NO_FIRMWARE_FOR_HARDWARE",
            vehicles: 1,
            ecus: 1,
            detail: expect.stringContaining("HW-9") as string,
            sample: [vins[1]],
          },
        ],
      },
      conflicts: [],
      releases: brakes.map(({ firmware_id, ecu_type, version }) => ({
        ...{ firmware_id, ecu_type, version },
        ...{ channel: "stable", problem: null },
      })),
      warnings: [],
    });
  });

  it("puts each vehicle into the wave that it will be in", async () => {
    const waves = [{ share: 30 }, { share: 50, gate: { after_min: 1 } }, { share: 20 }];
    waves[2] = { share: 20, gate: { after_min: 1 } };
    const drawn = campaign({ percentage: 60, waves });
    const expected = [0, 0, 0];
    for (const vin of vins) {
      const wave = waveOf(drawn, share(drawn.campaign_id, vin));
      if (wave !== undefined) expected[wave] = (expected[wave] ?? 0) + 1;
    }
    const found = await dryRun({ db: own.db, releases }, drawn);
    expect(found.waves.map(({ members }) => members)).toEqual(expected);
    expect(found.matched).toBe(12);
    expect(found.members).toBe(expected.reduce((sum, each) => sum + each));
  });

  it("looks only at vehicles that are meant", async () => {
    const found = await run({ filter: 'ecu("brake").version < 2.0.0', vins: vins.slice(0, 6) });
    expect(found).toMatchObject({ matched: 3, planned: { vehicles: 2 }, blocked: { vehicles: 1 } });
    expect((await run({ min_profile: 2 })).matched).toBe(0);
  });

  it("says what is wrong with the firmware", async () => {
    const open = await insertFirmware(own.db, { version: "9.0.0" });
    const unknown = randomUUID();
    const found = await run({ releases: [withdrawn.firmware_id, open.firmware_id, unknown] });
    expect(found.releases.map(({ problem }) => problem)).toEqual([
      "archived",
      "awaiting_signature",
      "unknown",
    ]);
    expect(found).toMatchObject({ members: 12, planned: { vehicles: 0 } });
  });

  it("warns of what can't happen with so few vehicles, until the campaign has started", async () => {
    // Of 12 vehicles 8 get something, those with the first four VINs nothing.
    const gate = { min_finished: 9, max_failure_rate: 1, soak_min: 0 };
    const [first, half] = [{ share: 99.999 }, 0.0005];
    const waves = [
      first,
      { share: half, gate },
      { share: half, gate: { ...gate, min_finished: 1 } },
    ];
    const rule = { max_failure_rate: 0.1, confidence: 0.95, min_sample: 9 };
    const warnings = async (change: Partial<DryRunCampaign>) =>
      (await run(change)).warnings.map(({ code, wave, detail }) => [code, wave, detail]);
    expect(await warnings({ waves, stop_rule: rule })).toEqual([
      [
        "WAVE_GATE_OUT_OF_REACH",
        1,
        expect.stringContaining("9 vehicles of wave 1 have ended, of 8"),
      ],
      ["WAVE_GATE_OUT_OF_REACH", 2, expect.stringContaining("1 vehicles of wave 2")],
      ["STOP_RULE_OUT_OF_REACH", null, expect.stringContaining("fewer than 9")],
    ]);
    const reachable = [first, { share: 2 * half, gate: { ...gate, min_finished: 8 } }];
    const possible = { ...rule, min_sample: 8 };
    expect(await warnings({ waves: reachable, stop_rule: possible })).toEqual([]);
    // All of 8 failing is proof of a rate above 0.747 alone.
    expect(await warnings({ stop_rule: { ...possible, max_failure_rate: 0.74 } })).toEqual([]);
    expect(await warnings({ stop_rule: { ...possible, max_failure_rate: 0.75 } })).toEqual([
      ["STOP_RULE_OUT_OF_REACH", null, expect.stringContaining("above 74.7 %, and 75 %")],
    ]);
    const started = { started_at: new Date() };
    const members = { ...rule, min_sample: 12 };
    expect(await warnings({ ...started, stop_rule: members })).toEqual([]);
    expect(await warnings({ ...started, stop_rule: { ...members, min_sample: 13 } })).toHaveLength(
      1,
    );
  });

  it("tells of other campaigns for the same ECUs and vehicles", async () => {
    const filter = 'ecu("brake").version < 2.0.0 or vin == "nobody"';
    const other = await insertRunning(own.db, brakes, { filter, vins: vins.slice(0, 7) });
    const lights = await insertFirmware(own.db, { ecu_type: "lights" });
    await insertRunning(own.db, [lights]);
    expect((await run()).conflicts).toEqual([
      {
        campaign_id: other,
        name: "Brake controller 2.0.0",
        state: "running",
        ecu_types: ["brake"],
        vehicles: 3,
        sample: [vins[4], vins[6]],
      },
    ]);
    expect((await run({ campaign_id: other })).conflicts).toEqual([]);
  });
});
