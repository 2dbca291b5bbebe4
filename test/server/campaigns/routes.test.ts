import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Campaign } from "#protocol/api/campaign.ts";
import { listEntries } from "#server/audit/queries.ts";
import { act as actOn } from "#server/campaigns/actions.ts";
import { campaignRoutes } from "#server/campaigns/routes.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { serveRoutes, type RouteAnswer } from "#test/server/own-routes.ts";
import { insertFirmware, insertRunning, insertVehicles, type Brought } from "./campaign-data.ts";

const nothing = "00000000-0000-7000-8000-000000000000";
let own: OwnDatabase;
let gateway: Awaited<ReturnType<typeof serveRoutes>>;
let brake: Brought;

beforeAll(async () => {
  own = await ownDatabase();
  const { db } = own;
  const changed = async () => {};
  gateway = await serveRoutes(
    own.folder,
    [campaignRoutes({ db, approval: true, maxActive: 100, changed })],
    {
      anna: { role: "campaign_manager", diagnostic_level: "none" },
      ben: { role: "campaign_manager", diagnostic_level: "none" },
      Anna: { role: "approver", diagnostic_level: "none" },
      BEN: { role: "approver", diagnostic_level: "none" },
      cleo: { role: "approver", diagnostic_level: "none" },
      root: { role: "admin", diagnostic_level: "none" },
      viewer: { role: "viewer", diagnostic_level: "none" },
    },
  );
  await insertVehicles(db, 3);
  brake = await insertFirmware(db);
  await sql`update firmware set published_at = now()`.execute(db);
});
afterAll(async () => {
  await gateway.close();
  await own.remove();
});

const codeOf = ({ json }: RouteAnswer) => (json as { code?: string }).code;
const content = () => ({ name: "Brakes", releases: [brake.firmware_id], filter: "all" });
const post = (who: string, path: string, body: object = {}) =>
  gateway.send(who, "POST", `/campaigns${path}`, body);

async function draft(change: object = {}, who = "anna"): Promise<Campaign> {
  const answer = await post(who, "", { ...content(), ...change });
  expect(answer.json).toMatchObject({ state: "draft" });
  expect(answer.status).toBe(201);
  return answer.json as Campaign;
}

async function act(who: string, campaign: Campaign, action: string, body: object = {}) {
  return post(who, `/${campaign.campaign_id}/${action}`, body);
}

/** Made by anna, submitted by ben, approved by cleo. */
async function approved(change: object = {}): Promise<Campaign> {
  const made = await draft(change);
  const submitted = (await act("ben", made, "submit")).json as Campaign;
  const { revision } = submitted;
  return (await act("cleo", made, "approve", { revision })).json as Campaign;
}

describe("a draft", () => {
  it("is what was said, and what is usual for the rest", async () => {
    const made = await draft({ stop_rule: { max_failure_rate: 0.05 } });
    expect(made).toMatchObject({
      ...content(),
      revision: 1,
      state_reason: null,
      description: null,
      vins: null,
      vin_count: null,
      percentage: 100,
      waves: [{ share: 100 }],
      waves_opened: [],
      critical: false,
      dynamic: true,
      stop_rule: { max_failure_rate: 0.05, confidence: 0.95, min_sample: 5 },
      deadline_min: 30,
      soak_min: 0,
      new_dtcs: "ignore",
      created_by: "anna",
      authors: ["anna"],
      started_at: null,
    });
    const path = `/campaigns/${made.campaign_id}`;
    expect((await gateway.send("viewer", "GET", path)).json).toEqual(made);
  });

  it("is changed as it was read, by whoever is first, and then deleted", async () => {
    const made = await draft();
    const path = `/campaigns/${made.campaign_id}`;
    const both = await Promise.all(
      ["anna", "ben"].map((who) =>
        gateway.send(who, "PATCH", path, { revision: 1, name: `of ${who}`, percentage: 5 }),
      ),
    );
    expect(both.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409]);
    expect(both.map(codeOf)).toContain("CAMPAIGN_CHANGED");
    const won = both.find(({ status }) => status === 200)?.json as Campaign;
    expect(won).toMatchObject({ revision: 2, percentage: 5, waves: [{ share: 100 }] });
    expect((await gateway.send("ben", "DELETE", path)).status).toBe(204);
    expect(codeOf(await gateway.send("ben", "DELETE", path))).toBe("CAMPAIGN_UNKNOWN");
    const entries = await listEntries(own.db, { subject: made.campaign_id, limit: 10 });
    expect(entries.map(({ action }) => action)).toEqual([
      "campaign.deleted",
      "campaign.changed",
      "campaign.created",
    ]);
    expect(entries[1]?.detail).toMatchObject({ changes: { percentage: 5 } });
  });

  it("with a long list of vehicles is in the audit log by the list's hash", async () => {
    const vins = Array.from({ length: 10_000 }, (_, index) => `${index}`.padStart(64, "V"));
    const made = await draft({ vins });
    expect(made.vin_count).toBe(10_000);
    const [entry] = await listEntries(own.db, { subject: made.campaign_id, limit: 1 });
    const hash = expect.stringMatching(/^[0-9a-f]{64}$/) as string;
    expect(entry?.detail).toMatchObject({ content: { vins: { count: 10_000, sha256: hash } } });
  });

  const gate = { after_min: 5 };
  it.each<[object, string]>([
    [{ waves: [{ share: 50 }, { share: 40, gate }] }, "CAMPAIGN_WAVES_INVALID"],
    [
      { starts_at: "2026-05-04T10:00:00Z", ends_at: "2026-05-04T09:00:00Z" },
      "CAMPAIGN_TIMES_INVALID",
    ],
    [{ starts_at: "2026-02-31T10:00:00Z" }, "CAMPAIGN_TIMES_INVALID"],
    [{ releases: [nothing] }, "CAMPAIGN_RELEASE_UNAVAILABLE"],
    [{ name: "" }, "REQUEST_INVALID"],
    [{ name: "a\0b" }, "REQUEST_MALFORMED"],
    [{ name: undefined }, "REQUEST_INVALID"],
    [{ percentage: 0 }, "REQUEST_INVALID"],
    [{ percentage: 100.1 }, "REQUEST_INVALID"],
    [{ vins: [] }, "REQUEST_INVALID"],
    [{ vins: ["VIN-00000", "VIN-00000"] }, "REQUEST_INVALID"],
    [{ waves: [] }, "REQUEST_INVALID"],
    [{ waves: [{ share: -1 }, { share: 101, gate }] }, "REQUEST_INVALID"],
    [{ starts_at: "tomorrow" }, "REQUEST_INVALID"],
    [{ deadline_min: 0 }, "REQUEST_INVALID"],
    [{ min_profile: 13 }, "REQUEST_INVALID"],
    [{ stop_rule: { max_failure_rate: 2 } }, "REQUEST_INVALID"],
    [{ state: "running" }, "REQUEST_INVALID"],
  ])("is refused with %j: %s", async (change, code) => {
    expect(codeOf(await post("anna", "", { ...content(), ...change }))).toBe(code);
  });

  it("is refused with a mistake in its filter, which is pointed to", async () => {
    const answer = await post("anna", "", { ...content(), filter: 'model == "X" and region =' });
    expect(codeOf(answer)).toBe("FILTER_INVALID");
    const { position } = answer.json as { position: { line: number; offset: number } };
    expect(position).toMatchObject({ line: 1 });
    expect(position.offset).toBeGreaterThan(16);
  });

  it("keeps text that is no Unicode from failing the gateway", async () => {
    const answer = await post("anna", "", { ...content(), name: "\ud800", description: "\udfff" });
    expect(answer.status).toBeLessThan(500);
  });
});

describe("approval", () => {
  it("is of what was read, by somebody who had no hand in it", async () => {
    const made = await draft();
    const path = `/campaigns/${made.campaign_id}`;
    await gateway.send("root", "PATCH", path, { revision: 1, description: "Soon" });
    const submitted = (await act("ben", made, "submit", { revision: 2 })).json as Campaign;
    expect(submitted).toMatchObject({ state: "awaiting_approval", submitted_by: "ben" });
    const { revision } = submitted;
    for (const who of ["Anna", "BEN", "root"]) {
      expect(codeOf(await act(who, made, "approve", { revision }))).toBe("CAMPAIGN_OWN_APPROVAL");
    }
    expect(codeOf(await act("cleo", made, "approve", { revision: 2 }))).toBe("CAMPAIGN_CHANGED");
    expect(codeOf(await act("cleo", made, "approve"))).toBe("REQUEST_INVALID");
    expect(codeOf(await act("anna", made, "approve", { revision }))).toBe("ROLE_REQUIRED");
    expect(codeOf(await act("cleo", made, "start", { revision }))).toBe("ROLE_REQUIRED");
    const done = (await act("cleo", made, "approve", { revision })).json;
    expect(done).toMatchObject({ state: "scheduled", approved_by: "cleo", started_at: null });
  });

  it("is refused with a comment, and asked for anew", async () => {
    const made = await draft();
    const { revision } = (await act("anna", made, "submit")).json as Campaign;
    const rejected = await act("cleo", made, "reject", { revision, comment: "Not on Fridays" });
    expect(rejected.json).toMatchObject({
      state: "draft",
      state_reason: { code: "CAMPAIGN_BY_OPERATOR", detail: "cleo: Not on Fridays" },
      submitted_by: null,
    });
    expect((await act("anna", made, "submit")).json).toMatchObject({ state: "awaiting_approval" });
    expect((await act("anna", made, "withdraw")).json).toMatchObject({ state: "draft" });
  });

  it("is given or refused by the first of two", async () => {
    const made = await draft();
    const { revision } = (await act("anna", made, "submit")).json as Campaign;
    const both = await Promise.all(
      ["approve", "reject"].map((action) => act("cleo", made, action, { revision })),
    );
    expect(both.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409]);
  });

  it("starts at once what was to have started before", async () => {
    const started = await approved({ starts_at: "2026-01-01T00:00:00Z" });
    expect(started).toMatchObject({ state: "running", approved_by: "cleo" });
    expect(started.waves_opened).toEqual([started.started_at]);
  });

  it("is not asked for where the configuration says so", async () => {
    const { campaign_id } = await draft();
    const deps = { db: own.db, approval: false, maxActive: 100, changed: async () => {} };
    const anna = { name: "anna", role: "campaign_manager", token_id: "of anna" } as const;
    const operator = { ...anna, diagnostic_level: "none" } as const;
    const submitted = await actOn(deps, campaign_id, "submit", operator, {});
    expect(submitted).toMatchObject({
      state: "scheduled",
      submitted_by: "anna",
      approved_by: null,
    });
    const [last] = await listEntries(own.db, { subject: campaign_id, limit: 1 });
    expect(last).toMatchObject({ actor: "gateway", action: "campaign.approve" });
  });

  it("is asked only for what can run", async () => {
    const submit = async (change: object) =>
      codeOf(await act("anna", await draft(change), "submit"));
    expect(await submit({ releases: [] })).toBe("CAMPAIGN_INCOMPLETE");
    expect(await submit({ filter: null })).toBe("CAMPAIGN_INCOMPLETE");
    expect(await submit({ filter: 'model == "none"' })).toBe("CAMPAIGN_EMPTY");
    expect(await submit({ vins: ["VIN-UNKNOWN"] })).toBe("CAMPAIGN_EMPTY");
    expect(await submit({ min_profile: 0 })).toBe("CAMPAIGN_EMPTY");
    expect(await submit({ ends_at: "2026-01-01T00:00:00Z" })).toBe("CAMPAIGN_TIMES_INVALID");
    const open = await insertFirmware(own.db, { version: "3.0.0" });
    const made = await draft();
    await sql`
      update campaign set releases = array[${open.firmware_id}]::uuid[]
      where campaign_id = ${made.campaign_id}
    `.execute(own.db);
    expect(codeOf(await act("anna", made, "submit"))).toBe("CAMPAIGN_RELEASE_UNAVAILABLE");
    await sql`
      update firmware set published_at = now(), availability = 'channel'
      where firmware_id = ${open.firmware_id}
    `.execute(own.db);
    expect(codeOf(await act("anna", made, "submit"))).toBe("CAMPAIGN_RELEASE_OPEN");
  });
});

describe("the course of a campaign", () => {
  it("is told step by step, in the audit log and by events", async () => {
    const campaign = await approved();
    const steps = [
      ["start", "running"],
      ["pause", "paused"],
      ["resume", "running"],
      ["finish", "finishing"],
      ["stop", "stopped"],
    ] as const;
    for (const [action, state] of steps) {
      expect((await act("anna", campaign, action)).json).toMatchObject({ state });
    }
    const refused = await act("anna", campaign, "start");
    expect(refused.status).toBe(409);
    expect(refused.json).toMatchObject({
      code: "CAMPAIGN_STATE",
      detail: "start is not for a campaign that is stopped; allowed: clone",
    });
    const { campaign_id } = campaign;
    const entries = await listEntries(own.db, { subject: campaign_id, limit: 20 });
    const told = ["created", "submit", "approve", "start", "pause", "resume", "finish", "stop"];
    expect(entries.map(({ action }) => action).reverse()).toEqual(
      told.map((each) => `campaign.${each}`),
    );
    const { rows } = await sql<{ kind: string }>`
      select kind from event where subject = ${campaign_id} order by event_id
    `.execute(own.db);
    expect(rows.map(({ kind }) => kind)).toEqual(
      ["submitted", "approved", "started", "paused", "resumed", "finishing", "stopped"].map(
        (each) => `campaign.${each}`,
      ),
    );
  });

  it("starts when it is told to, while it has not started", async () => {
    const campaign = await approved();
    const times = { starts_at: "2090-05-04T10:00:00Z", ends_at: "2090-05-05T10:00:00Z" };
    const at = (body: object) => act("anna", campaign, "schedule", body);
    expect((await at(times)).json).toMatchObject({
      state: "scheduled",
      starts_at: "2090-05-04T10:00:00.000Z",
      ends_at: "2090-05-05T10:00:00.000Z",
    });
    expect((await at({ starts_at: null })).json).toMatchObject({
      starts_at: null,
      ends_at: "2090-05-05T10:00:00.000Z",
    });
    const backwards = { starts_at: times.ends_at, ends_at: times.starts_at };
    expect(codeOf(await at(backwards))).toBe("CAMPAIGN_TIMES_INVALID");
    await act("anna", campaign, "start");
    expect(codeOf(await at(times))).toBe("CAMPAIGN_STATE");
  });

  it("does not go on while what a release requires is lost", async () => {
    const lights = await insertFirmware(own.db, { ecu_type: "lights" });
    const changed = (id: string, change: object) =>
      own.db.updateTable("firmware").set(change).where("firmware_id", "=", id).execute();
    const { firmware_id } = await insertFirmware(own.db, { version: "4.0.0" });
    const requires = JSON.stringify([{ ecu_type: "lights", min_version: "2.0.0" }]);
    await changed(firmware_id, { requires, published_at: new Date() });
    await changed(lights.firmware_id, { published_at: new Date() });
    const campaign = await approved({ releases: [firmware_id] });
    for (const action of ["start", "pause", "resume", "pause"]) {
      expect((await act("anna", campaign, action)).status).toBe(200);
    }
    await changed(lights.firmware_id, { status: "archived", archived_at: sql`now()` });
    const refused = await act("anna", campaign, "resume");
    expect(codeOf(refused)).toBe("CAMPAIGN_RELEASE_UNAVAILABLE");
    expect(refused.json).toMatchObject({ detail: expect.stringContaining("lights 2.0.0") });
    const { json } = await gateway.send("anna", "GET", `/campaigns/${campaign.campaign_id}`);
    expect(json).toMatchObject({ state: "paused" });
  });

  it("keeps what is not a draft as it is", async () => {
    const campaign = await approved();
    const path = `/campaigns/${campaign.campaign_id}`;
    const patch = { revision: campaign.revision, name: "other" };
    expect(codeOf(await gateway.send("anna", "PATCH", path, patch))).toBe("CAMPAIGN_STATE");
    expect(codeOf(await gateway.send("anna", "DELETE", path))).toBe("CAMPAIGN_STATE");
    expect(codeOf(await gateway.send("anna", "GET", `/campaigns/${nothing}`))).toBe(
      "CAMPAIGN_UNKNOWN",
    );
  });

  it("begins anew as a clone, without its times and people", async () => {
    const campaign = await approved({ ends_at: "2090-01-01T00:00:00Z", deadline_min: 7 });
    const clone = await gateway.send("ben", "POST", `/campaigns/${campaign.campaign_id}/clone`);
    expect(clone.status).toBe(201);
    expect(clone.json).toMatchObject({
      ...content(),
      state: "draft",
      revision: 1,
      deadline_min: 7,
      ends_at: null,
      cloned_from: campaign.campaign_id,
      created_by: "ben",
      authors: ["ben"],
      approved_by: null,
    });
  });
});

describe("the lists", () => {
  it("show campaigns, newest first, by state and release", async () => {
    const lights = await insertFirmware(own.db, { ecu_type: "lights", version: "4.0.0" });
    const made = [1, 2, 3].map(() => insertRunning(own.db, [lights], { vins: ["VIN-00001"] }));
    // Those of one millisecond are in no order of their making.
    const ids = (await Promise.all(made)).sort();
    await sql`update campaign set state = 'paused' where campaign_id = ${ids[1]}`.execute(own.db);
    const list = async (query: string) =>
      (await gateway.send("viewer", "GET", `/campaigns?release=${lights.firmware_id}${query}`))
        .json as { items: Campaign[]; next_cursor: string | null };
    const idsOf = ({ items }: { items: Campaign[] }) => items.map((each) => each.campaign_id);
    expect(idsOf(await list(""))).toEqual(ids.toReversed());
    expect(idsOf(await list("&state=paused"))).toEqual([ids[1]]);
    const { items, next_cursor } = await list("&limit=2");
    expect(items[0]).toMatchObject({ vin_count: 1 });
    expect(items[0]).not.toHaveProperty("vins");
    expect(idsOf(await list(`&limit=2&cursor=${next_cursor}`))).toEqual([ids[0]]);
  });

  it("show campaigns by their whole name, in capitals or not", async () => {
    const name = `Räder % ${crypto.randomUUID()}`;
    const ids = [name, name, `${name}_`].map((each) =>
      insertRunning(own.db, [brake], { name: each }),
    );
    const [one, other] = await Promise.all(ids);
    const named = async (asked: string) => {
      const path = `/campaigns?name=${encodeURIComponent(asked)}`;
      const { items } = (await gateway.send("viewer", "GET", path)).json as { items: Campaign[] };
      return new Set(items.map(({ campaign_id }) => campaign_id));
    };
    const both = new Set([one, other]);
    expect(await named(name)).toEqual(both);
    expect(await named(name.toUpperCase().replace("Ä", "ä"))).toEqual(both);
    expect(await named(name.slice(0, -1))).toEqual(new Set());
  });

  it("show the vehicles of a campaign by VIN, by status", async () => {
    const campaign_id = await insertRunning(own.db, [brake]);
    const row = { campaign_id, wave: 0, update_id: null };
    const dtcs = [{ ecu_id: "ECU_001", code: "P0562" }];
    const command_id = "019c2f4e-7d3a-7b10-8c55-5f2d6c1b9e01";
    const known = { dtcs: JSON.stringify(dtcs), command_id };
    await own.db
      .insertInto("campaign_vehicle")
      .values([
        { ...row, vin: "VIN-00000", status: "succeeded" },
        { ...row, ...known, vin: "VIN-00001", status: "failed" },
        { ...row, vin: "VIN-00002", status: "succeeded" },
      ])
      .execute();
    const list = async (query: string) =>
      (await gateway.send("viewer", "GET", `/campaigns/${campaign_id}/vehicles?${query}`)).json as {
        items: { vin: string }[];
        next_cursor: string | null;
      };
    const first = await list("limit=2");
    expect(first.items[0]).toMatchObject({ dtcs: null, command_id: null });
    const second = { campaign_id, vin: "VIN-00001", status: "failed", dtcs, command_id };
    expect(first.items[1]).toMatchObject(second);
    const rest = await list(`limit=2&cursor=${first.next_cursor}`);
    expect(rest.items.map(({ vin }) => vin)).toEqual(["VIN-00002"]);
    expect((await list("status=succeeded")).items.length).toBe(2);
    const unknown = await gateway.send("viewer", "GET", `/campaigns/${nothing}/vehicles`);
    expect(codeOf(unknown)).toBe("CAMPAIGN_UNKNOWN");
  });
});
