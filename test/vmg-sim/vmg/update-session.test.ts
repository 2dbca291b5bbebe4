import { join } from "node:path";
import pino from "pino";
import { describe, expect, it } from "vitest";
import type { OtaStatus } from "#protocol/mqtt/ota-status.ts";
import { testFolder } from "#test/helpers/folder.ts";
import { overallProgress } from "#vmg-sim/vmg/progress.ts";
import { stateFile } from "#vmg-sim/vmg/state-file.ts";
import { updateSession } from "#vmg-sim/vmg/update-session.ts";
import { UpdateRecord } from "#vmg-sim/vmg/update-state.ts";
import { stillPace } from "./still-pace.ts";

function begun(): UpdateRecord {
  return {
    update_id: "01a1fa93-83c0-773c-8d01-0d1eed73784e",
    package_id: "pkg-1",
    download_url: "/x",
    size: 1000,
    checksum: "sha256:00",
    phase: "downloading",
    progress: 0,
    resumes: 0,
    ecus: [
      { ecu_id: "A", zone_id: "Z", from_version: "1.0.0", to_version: "2.0.0", step: "waiting" },
    ],
  };
}

function open() {
  const file = stateFile(join(testFolder(), "update.json"), UpdateRecord);
  const sent: OtaStatus[] = [];
  const session = updateSession(
    {
      file,
      pace: stillPace(),
      log: pino({ level: "silent" }),
      send: async (status) => void sent.push(status),
      onEvent: () => {},
    },
    begun(),
  );
  return { file, sent, session };
}

describe("update session", () => {
  it("keeps each step on disk before it is reported", async () => {
    const { file, session, sent } = open();
    await session.apply({ type: "downloaded" });
    expect((await file.read())?.phase).toBe("verifying");
    expect(sent.map(({ status }) => status)).toEqual(["verifying"]);
  });

  it("reports a phase every few percent, in order, never going back", async () => {
    const { session, sent } = open();
    for (let done = 0; done <= 1000; done++) session.progress(done / 1000);
    await session.apply({ type: "downloaded" });
    for (let done = 0; done <= 100; done++) session.progress(done / 100);
    await session.apply({ type: "verified" });
    await session.apply({ type: "failed", error: { code: "X", message: "x" } });
    const steps = sent.map(({ status }) => status);
    expect(steps.filter((status) => status === "downloading").length).toBeGreaterThanOrEqual(8);
    expect(steps.length).toBeLessThan(20);
    expect([...new Set(steps)]).toEqual(["downloading", "verifying", "backing_up", "failed"]);
    expect(steps.toSorted((a, b) => steps.indexOf(a) - steps.indexOf(b))).toEqual(steps);
    const progress = sent.map((status) => status.progress);
    expect(progress.toSorted((a, b) => a - b)).toEqual(progress);
    expect(sent.at(-1)?.error).toEqual({ code: "X", message: "x" });
  });

  it("refuses a step that the phase does not allow", async () => {
    const { session } = open();
    await expect(session.apply({ type: "healthy" })).rejects.toMatchObject({
      code: "UPDATE_STATE",
    });
    expect(session.record.phase).toBe("downloading");
  });

  it("shares the whole update out among its phases without a gap", () => {
    const forward = ["downloading", "verifying", "backing_up", "installing"] as const;
    for (const [index, phase] of forward.entries()) {
      const next = (["verifying", "backing_up", "installing", "restarting"] as const)[index];
      expect(overallProgress(phase, 1)).toBe(overallProgress(next ?? "completed", 0));
    }
    expect(overallProgress("completed", 0)).toBe(100);
    expect(overallProgress("rolling_back", 0.5)).toBeUndefined();
  });
});
