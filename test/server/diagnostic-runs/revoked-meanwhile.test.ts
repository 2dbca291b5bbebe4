import pg from "pg";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startGateway, type TestGateway } from "#test/helpers/gateway.ts";
import { connect, register } from "#test/server/diagnostic-sessions/remote-vehicle.ts";

const vin = "VMG-RACE";
const api = "/api/v1/diagnostics";

/** On the embedded database one transaction comes after the other. */
describe.runIf(process.env["TEST_DATABASE"] === "postgresql")("what is begun", () => {
  let gateway: TestGateway;
  let holder: pg.Client;
  beforeAll(async () => {
    gateway = await startGateway({ maintenance: { interval_s: 3600 } });
    holder = new pg.Client({ connectionString: gateway.config.database.url });
    await holder.connect();
    await register(gateway, vin);
  });
  afterAll(async () => {
    await holder.end();
    await gateway.close();
  });

  it.each([
    ["sessions", {}, { status: "ended", end_reason: "revoked" }],
    ["scripts", { script: { steps: [{ request: "3E00" }] } }, { status: "cancelled" }],
  ])("while everything is revoked ends, too: %s", async (kind, more, over) => {
    const vehicle = await connect(gateway, vin);
    await holder.query("begin");
    await holder.query("select pg_advisory_xact_lock(hashtextextended('audit log', 0))");
    const body = { vin, ecu_id: "ECU_001", wait_ms: 0, ...more };
    const begun = gateway.admin.send("POST", `${api}/${kind}`, { body });
    // It is stored, and waits for its place in the audit log.
    await vi.waitFor(async () => {
      const { rows } = await holder.query(
        `select from pg_locks where locktype = 'advisory' and not granted
          and database = (select oid from pg_database where datname = current_database())`,
      );
      expect(rows).toHaveLength(1);
    });
    // As another gateway would, which has had its place in the log before.
    await holder.query(
      `insert into diagnostic_revocation
         (revocation_id, cause, vin, reason, revoked_by, changed_at)
       values (gen_random_uuid(), 'revoked', $1, 'smoke', 'first-admin', clock_timestamp())`,
      [vin],
    );
    await holder.query("commit");
    expect((await begun).json).toMatchObject(over);
    const kinds = vehicle.told.map((message) => message.kind);
    expect(kinds).not.toContain("open_session");
    expect(kinds).not.toContain("run_script");
    await vehicle.client.endAsync(true);
  });
});
