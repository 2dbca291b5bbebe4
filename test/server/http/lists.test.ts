import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { publish } from "#test/helpers/fleet-data.ts";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { problemOf } from "#test/server/problem-of.ts";

const vin = "VMG-001";
const nothing = "00000000-0000-7000-8000-000000000000";
let gateway: TestGateway;

beforeAll(async () => {
  gateway = await startGateway();
  const vehicle = await gateway.vehicle(vin);
  await vehicle.send("POST", "/api/v1/vehicles/register", { body: { vin } });
});
afterAll(() => gateway.close());

describe("every list", () => {
  const lists = [
    "/api/v1/vehicles",
    `/api/v1/vehicles/${vin}/vci`,
    `/api/v1/vehicles/${vin}/telemetry`,
    `/api/v1/vehicles/${vin}/commands`,
    "/api/v1/anomalies",
    "/api/v1/firmware",
    "/api/v1/updates",
    "/api/v1/campaigns",
    "/api/v1/diagnostics/results",
    "/api/v1/certificates",
    "/api/v1/events",
    "/api/v1/history/updates",
    "/api/v1/logs",
    "/api/v1/register",
    "/api/v1/operators/accounts",
    "/api/v1/auth/sessions",
    "/api/v1/audit",
    "/api/v1/diagnostics/approvals",
    "/api/v1/diagnostics/sessions",
    "/api/v1/diagnostics/scripts",
    "/api/v1/diagnostics/scans",
  ];

  /** There is none without a script, whatever is asked. */
  const ofAScript = "/api/v1/diagnostics/scripts/{script_id}/steps";
  const ofAWebhook = "/api/v1/webhooks/{webhook_id}/deliveries";
  const ofAnAccount = "/api/v1/operators/accounts/{account_id}/sessions";
  const ofACampaign = "/api/v1/campaigns/{campaign_id}/vehicles";

  it("that takes a cursor is among these", async () => {
    const { json } = await gateway.admin.send("GET", "/docs/json");
    const paged = Object.entries(
      json.paths as Record<string, { get?: { parameters?: { name: string }[] } }>,
    )
      .filter(([, { get }]) => get?.parameters?.some(({ name }) => name === "cursor"))
      .map(([path]) => path.replace("{vin}", vin));
    expect(paged.sort()).toEqual(
      [...lists, ofAScript, ofAWebhook, ofACampaign, ofAnAccount].sort(),
    );
  });

  describe.each(lists)("%s", (list) => {
    it.each([
      "limit=0",
      "limit=-1",
      "limit=501",
      "limit=1e99",
      "limit=all",
      "limit=",
      "limit=5&limit=6",
      "limit[]=5",
      `cursor=${"x".repeat(513)}`,
      "cursor=a&cursor=b",
      "cursor=%00",
      "cursor=a%00b",
    ])("refuses ?%s", async (query) => {
      const answer = await gateway.admin.send("GET", `${list}?${query}`);
      const ignored = query === "limit[]=5";
      expect(answer.status).toBe(ignored ? 200 : 400);
    });

    it.each([
      "x",
      "'; drop table vehicle; --",
      "-1",
      "0",
      "1",
      "9223372036854775808",
      "1e308",
      "null",
      "%ED%A0%BD",
      "2026-01-01T00:00:00Z_9007199254740993",
      "2026-01-01T00:00:00Z_-1",
      "99999-01-01_1",
      "275760-09-13_1",
      "-000001-01-01T00:00:00Z_1",
      nothing,
      "-".repeat(36),
    ])("answers a page or a refusal to the cursor %s, never a failure", async (cursor) => {
      const answer = await gateway.admin.send("GET", `${list}?cursor=${cursor}`);
      expect([200, 400]).toContain(answer.status);
    });

    it("takes the smallest and the largest page", async () => {
      for (const limit of [1, 500]) {
        const answer = await gateway.admin.send("GET", `${list}?limit=${limit}`);
        expect(answer.status).toBe(200);
        expect(answer.json.items.length).toBeLessThanOrEqual(limit);
      }
    });
  });

  it.each([
    "2026-19-39T29:59:59.000Z_1",
    "2026-02-31T00:00:00.000Z_1",
    "2026-01-01T24:00:00.000Z_1",
    "2026-00-01T00:00:00.000Z_1",
  ])("of telemetry refuses a cursor at a time that never is: %s", async (cursor) => {
    const path = `/api/v1/vehicles/${vin}/telemetry?cursor=${cursor}`;
    expect(problemOf(await gateway.admin.send("GET", path))).toBe("REQUEST_INVALID");
  });

  it("walks through everything once, by pages of one", async () => {
    for (const version of ["1.0.0", "1.0.1", "1.0.2"]) {
      await publish(gateway.admin, { ecu_type: "walk", version });
    }
    const seen: string[] = [];
    let query = "";
    for (let pages = 0; pages < 10; pages++) {
      const { json: page } = await gateway.admin.send(
        "GET",
        `/api/v1/firmware?ecu_type=walk&limit=1${query}`,
      );
      seen.push(...page.items.map(({ version }: { version: string }) => version));
      if (page.next_cursor === null) break;
      query = `&cursor=${page.next_cursor}`;
    }
    expect(seen).toEqual(["1.0.2", "1.0.1", "1.0.0"]);
  });

  it("filters, and refuses filters that can't be", async () => {
    const get = (query: string) => gateway.admin.send("GET", `/api/v1/firmware?${query}`);
    expect((await get("ecu_type=walk&channel=beta")).json.items).toEqual([]);
    expect((await get("ecu_type=walk&status=archived")).json.items).toEqual([]);
    for (const query of ["status=deleted", "channel=nightly", "ecu_type=%00", "ecu_type=a/b"]) {
      expect(problemOf(await get(query))).toBe("REQUEST_INVALID");
    }
  });
});

describe("after all that", () => {
  it("nothing has failed inside", () => {
    expect(gateway.log.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});
