import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Revocation } from "#server/diagnostic-sessions/revocation.ts";
import { createRevocations } from "#server/diagnostic-sessions/revoke.ts";
import { ownDatabase, silentLog, type OwnDatabase } from "#test/server/own-database.ts";

let own: OwnDatabase;
beforeAll(async () => {
  own = await ownDatabase();
});
afterAll(() => own.remove());

const ended = { cause: "revoked", reason: "stolen token", revoked_by: "operator:ann" } as const;

describe("a revocation", () => {
  it("is carried out by every listener before it is answered, and by other gateways once", async () => {
    const { db } = own;
    await (
      await createRevocations({ db, everyMs: undefined, log: silentLog })
    ).revoke({ ...ended, vin: "BEFORE" });
    const here = await createRevocations({ db, everyMs: 10, log: silentLog });
    const there = await createRevocations({ db, everyMs: 10, log: silentLog });
    const heard: { here: Revocation[]; there: Revocation[] } = { here: [], there: [] };
    here.onRevoked(async (revocation) => void heard.here.push(revocation));
    there.onRevoked(async (revocation) => void heard.there.push(revocation));

    const first = await here.revoke({ ...ended, vin: "VMG-001" });
    expect(heard.here).toEqual([first]);
    expect(first).toMatchObject({ vin: "VMG-001", operator: null, token_id: null });
    await there.revoke({ ...ended, operator: "bob" });
    await vi.waitFor(() => expect(heard.here).toHaveLength(2));
    await vi.waitFor(() => expect(heard.there).toHaveLength(2));
    // Each has looked several times by now, or does so while the next one travels.
    await here.revoke(ended);
    await vi.waitFor(() => expect(heard.there).toHaveLength(3));
    const whom = ({ vin, operator }: Revocation) => vin ?? operator ?? "all";
    expect(heard.here.map(whom)).toEqual(["VMG-001", "bob", "all"]);
    expect(heard.there.map(whom).sort()).toEqual(["VMG-001", "all", "bob"]);
    here.stop();
    there.stop();
  });

  it("that one listener fails at is carried out by the others, and the failure is told", async () => {
    const revocations = await createRevocations({ db: own.db, everyMs: undefined, log: silentLog });
    const called: string[] = [];
    revocations.onRevoked(() => Promise.reject(new Error("no")));
    revocations.onRevoked(async () => void called.push("second"));
    await expect(revocations.revoke(ended)).rejects.toThrow("no");
    expect(called).toEqual(["second"]);
  });
});
