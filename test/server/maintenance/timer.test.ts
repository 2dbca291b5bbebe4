import { sql } from "kysely";
import pino from "pino";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { startMaintenance, type MaintenanceDeps } from "#server/maintenance/maintenance.ts";
import type { ServerState } from "#server/runtime/state.ts";
import { registerVehicle } from "#server/vehicles/queries.ts";
import { ownDatabase, type OwnDatabase } from "#test/server/own-database.ts";
import { maintenanceDeps } from "./maintenance-deps.ts";

let own: OwnDatabase;
let deps: MaintenanceDeps;
const log: Record<string, unknown>[] = [];

beforeAll(async () => {
  own = await ownDatabase();
  deps = await maintenanceDeps(own);
  await registerVehicle(own.db, { vin: "VMG-001" });
});
afterAll(() => own.remove());

/** Starts it with short rounds; tells the state that each round was begun in. */
function start(): { stop: () => Promise<void>; begun: ServerState[] } {
  const begun: ServerState[] = [];
  const { state, config } = deps;
  const stop = startMaintenance({
    ...deps,
    config: {
      ...config,
      maintenance: { interval_s: 0.005 },
      vehicles: { offline_after_s: 0.001 },
    },
    state: {
      ...state,
      begin(work) {
        const end = state.begin(work);
        begun.push(state.state());
        return end;
      },
    },
    log: pino(
      { level: "info" },
      { write: (line) => log.push(JSON.parse(line) as Record<string, unknown>) },
    ),
  });
  return { stop, begun };
}

const messages = () => log.map(({ msg }) => msg);

describe("the maintenance timer", () => {
  it("goes round after round, shows it in the state, and says what it has done", async () => {
    const { stop, begun } = start();
    await vi.waitFor(() => expect(begun.length).toBeGreaterThanOrEqual(2));
    await stop();
    expect(begun.slice(0, 2)).toEqual(["MAINTENANCE", "MAINTENANCE"]);
    expect(messages()).toContain("Vehicle is offline: nothing heard of it");
  });

  it("has ended the round under way when it is stopped", async () => {
    const { stop, begun } = start();
    await vi.waitFor(() => expect(begun.length).toBeGreaterThanOrEqual(1));
    await stop();
    expect(deps.state.state()).toBe("IDLE");
  });

  it("tries again after a round that failed", async () => {
    await sql`alter table vehicle rename to away`.execute(own.db);
    const { stop, begun } = start();
    await vi.waitFor(() => expect(begun.length).toBeGreaterThanOrEqual(3));
    await sql`alter table away rename to vehicle`.execute(own.db);
    await stop();
    expect(messages()).toContain("Maintenance failed; trying again later");
    expect(deps.state.state()).toBe("IDLE");
  });
});
