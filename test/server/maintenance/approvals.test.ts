import { randomUUID } from "node:crypto";
import { afterAll, beforeAll, expect, it } from "vitest";
import { listApprovals } from "#server/diagnostic-policy/approval-queries.ts";
import { requestApproval } from "#server/diagnostic-policy/approvals.ts";
import { maintain, type MaintenanceDeps } from "#server/maintenance/maintenance.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { maintenanceDeps } from "./maintenance-deps.ts";

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
let own: OwnDatabase;
let deps: MaintenanceDeps;

beforeAll(async () => {
  own = await ownDatabase();
  deps = await maintenanceDeps(own);
});
afterAll(() => own.remove());

const later = (ms: number) => maintain(deps, new Date(Date.now() + ms));
const states = async () =>
  (await listApprovals(own.db, { limit: 10 })).map(({ summary, state }) => `${summary} ${state}`);

it("an approval expires with its time, and is kept as long as results are", async () => {
  const ask = (summary: string, ms: number) =>
    requestApproval(own.db, {
      subject_kind: "request",
      subject: randomUUID(),
      vin: "VMG-001",
      requested_by: "alice",
      reason: "rule 1",
      summary,
      expires_at: new Date(Date.now() + ms),
    });
  await ask("short", HOUR);
  await ask("long", 365 * DAY);
  expect(await later(HOUR - 60_000)).toMatchObject({ approvalsExpired: 0, rowsTrimmed: 0 });
  expect(await later(HOUR)).toMatchObject({ approvalsExpired: 1, rowsTrimmed: 0 });
  expect(await states()).toEqual(["long pending", "short expired"]);
  expect(await later(HOUR + 90 * DAY - 60_000)).toMatchObject({ rowsTrimmed: 0 });
  expect(await later(HOUR + 90 * DAY + 60_000)).toMatchObject({ rowsTrimmed: 1 });
  expect(await states()).toEqual(["long pending"]);
});
