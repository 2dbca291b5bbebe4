import { join } from "node:path";
import pino from "pino";
import { describe, expect, it } from "vitest";
import { testFolder } from "#test/helpers/folder.ts";
import { openRemoteConfig } from "#vmg-sim/vmg/remote-config.ts";

const log = pino({ level: "silent" });

describe("remote configuration", () => {
  it("applies what is newer, ignores what is not, and keeps it over a restart", async () => {
    const file = join(testFolder(), "remote-config.json");
    const changes: number[] = [];
    const remote = await openRemoteConfig(file, log, ({ revision }) => changes.push(revision));
    expect(remote.current).toEqual({});
    await remote.handle({ revision: 2, config: { telemetry_interval_s: 1 } });
    await remote.handle({ revision: 2, config: { telemetry_interval_s: 2 } });
    await remote.handle({ revision: 1, config: { telemetry_interval_s: 3 } });
    expect(remote.current).toEqual({ telemetry_interval_s: 1 });
    await remote.handle({ revision: 3, config: { auto_update: false } });
    expect(changes).toEqual([2, 3]);
    const again = await openRemoteConfig(file, log, () => {});
    expect(again.current).toEqual({ auto_update: false });
  });

  it.each([
    null,
    {},
    { revision: 0, config: {} },
    { revision: 1, config: { telemetry_interval_s: 0 } },
    { revision: 1, config: { telemetry_interval_s: "1" } },
    { revision: 1, config: { unknown: 1 } },
  ])("changes nothing for %j", async (payload) => {
    const remote = await openRemoteConfig(join(testFolder(), "r.json"), log, () => {
      throw new Error("changed");
    });
    await remote.handle(payload);
    expect(remote.current).toEqual({});
  });
});
