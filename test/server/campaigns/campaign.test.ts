import { describe, expect, it } from "vitest";
import { campaignStates, type CampaignState, type Wave } from "#protocol/api/campaign.ts";
import { ProblemError } from "#protocol/api/problem.ts";
import { campaignInputs, demandNext, nextState, waveOf } from "#server/campaigns/campaign.ts";
import { checkContent, checkReleases, type CampaignFirmware } from "#server/campaigns/content.ts";
import { share } from "#server/targeting/membership.ts";

describe("the course of a campaign", () => {
  // Rows: states; columns: inputs; -: refused.
  const table = `
                    submit            approve   reject withdraw schedule  start   pause  resume  finish    stop    halt   end       drain
  draft             awaiting_approval -         -      -        -         -       -      -       -         -       -      -         -
  awaiting_approval -                 scheduled draft  draft    -         -       -      -       -         -       -      -         -
  scheduled         -                 -         -      draft    scheduled running -      -       -         stopped paused finished  -
  running           -                 -         -      -        -         -       paused -       finishing stopped paused finishing -
  paused            -                 -         -      -        -         -       -      running finishing stopped -      finishing -
  finishing         -                 -         -      -        -         -       -      -       -         stopped -      -         finished
  finished          -                 -         -      -        -         -       -      -       -         -       -      -         -
  stopped           -                 -         -      -        -         -       -      -       -         -       -      -         -
  `;
  const [inputs = [], ...rows] = table
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));

  it("is told for every state and input", () => {
    expect(inputs).toEqual(campaignInputs);
    expect(rows.map(([state]) => state)).toEqual(campaignStates);
  });

  it.each(rows.map(([state = "", ...ends]) => [state as CampaignState, ends] as const))(
    "goes on from %s as the table says",
    (state, ends) => {
      expect(campaignInputs.map((input) => nextState(state, input) ?? "-")).toEqual(ends);
    },
  );

  it("says of what is refused what is allowed", () => {
    const start = () => demandNext({ state: "stopped" }, "start");
    expect(start).toThrow("start is not for a campaign that is stopped; allowed: clone");
    const resume = () => demandNext({ state: "running" }, "resume");
    expect(resume).toThrow(/running; allowed: pause, finish, stop, clone$/);
    expect(() => demandNext({ state: "draft" }, "stop")).toThrow(/: patch, delete, submit, clone$/);
  });
});

describe("the wave of a vehicle", () => {
  const waves = [{ share: 10 }, { share: 30 }, { share: 60 }];

  it.each([
    [100, 0, 0],
    [100, 0.0999, 0],
    [100, 0.1, 1],
    [100, 0.3999, 1],
    [100, 0.4, 2],
    [100, 0.9999, 2],
    [50, 0.0499, 0],
    [50, 0.05, 1],
    [50, 0.4999, 2],
    [50, 0.5, undefined],
    [0.01, 0.0001, undefined],
  ])("of %d %% is by its share %d: %s", (percentage, at, wave) => {
    expect(waveOf({ percentage, waves }, at)).toBe(wave);
  });

  it("is the last one where the shares' sum is short of 100 by rounding", () => {
    const thirds = [100 / 3, 100 / 3, 33.333_333].map((each) => ({ share: each }));
    expect(waveOf({ percentage: 100, waves: thirds }, 1 - 2 ** -32)).toBe(2);
  });

  it("takes as many as it says of vehicles, and others for another campaign", () => {
    const vins = Array.from({ length: 2000 }, (_, number) => `VIN${number}`);
    const of = (salt: string) =>
      vins.map((vin) => waveOf({ percentage: 40, waves }, share(salt, vin)));
    const counts = Map.groupBy(of("one"), String);
    expect(counts.get("undefined")?.length).toBeGreaterThan(1100);
    expect(counts.get("undefined")?.length).toBeLessThan(1300);
    expect(counts.get("0")?.length).toBeGreaterThan(50);
    expect(counts.get("2")?.length).toBeGreaterThan(400);
    expect(of("two")).not.toEqual(of("one"));
  });
});

function codeOf(what: () => void): string {
  try {
    what();
  } catch (error) {
    if (error instanceof ProblemError) return error.code;
    throw error;
  }
  return "fine";
}

describe("the content of a campaign", () => {
  const sound = { filter: null, waves: [{ share: 100 }], starts_at: null, ends_at: null };
  const gate = { after_min: 5 };

  it.each<[Wave[], string]>([
    [[{ share: 100 }], "fine"],
    [[{ share: 33.3 }, { share: 33.3, gate }, { share: 33.4, gate }], "fine"],
    [[{ share: 99 }], "CAMPAIGN_WAVES_INVALID"],
    [[{ share: 60 }, { share: 50, gate }], "CAMPAIGN_WAVES_INVALID"],
    [[{ share: 100, gate }], "CAMPAIGN_WAVES_INVALID"],
    [[{ share: 50 }, { share: 50 }], "CAMPAIGN_WAVES_INVALID"],
  ])("has waves that make a whole: %j is %s", (waves, code) => {
    expect(codeOf(() => checkContent({ ...sound, waves }))).toBe(code);
  });

  it("has an end after its start, and a filter that can be read", () => {
    const at = (hour: string) => new Date(`2026-05-04T${hour}:00:00Z`);
    const times = (starts_at: Date, ends_at: Date) => () =>
      checkContent({ ...sound, starts_at, ends_at });
    expect(codeOf(times(at("10"), at("11")))).toBe("fine");
    expect(codeOf(times(at("11"), at("10")))).toBe("CAMPAIGN_TIMES_INVALID");
    expect(codeOf(times(at("10"), at("10")))).toBe("CAMPAIGN_TIMES_INVALID");
    expect(codeOf(times(at("10"), new Date(NaN)))).toBe("CAMPAIGN_TIMES_INVALID");
    expect(codeOf(() => checkContent({ ...sound, filter: "model ==" }))).toBe("FILTER_INVALID");
  });
});

describe("the releases of a campaign", () => {
  const release = (version: string, change: Partial<CampaignFirmware> = {}): CampaignFirmware => ({
    firmware_id: `brake ${version}`,
    ecu_type: "brake",
    version,
    hardware_versions: ["HW-1.0"],
    min_current_version: null,
    status: "active",
    publication: "published",
    availability: "campaign",
    ...change,
  });
  const check = (...known: CampaignFirmware[]) =>
    codeOf(() =>
      checkReleases(
        known.map(({ firmware_id }) => firmware_id),
        known,
      ),
    );

  it("can be had, and only by a campaign", () => {
    expect(check(release("2.0.0"))).toBe("fine");
    expect(check()).toBe("CAMPAIGN_INCOMPLETE");
    expect(codeOf(() => checkReleases(["unknown"], []))).toBe("CAMPAIGN_RELEASE_UNAVAILABLE");
    const archived = release("2.0.0", { status: "archived" });
    expect(check(archived)).toBe("CAMPAIGN_RELEASE_UNAVAILABLE");
    const unsigned = release("2.0.0", { publication: "awaiting_signature" });
    expect(check(unsigned)).toBe("CAMPAIGN_RELEASE_UNAVAILABLE");
    const open = release("2.0.0", { availability: "channel" });
    expect(check(open)).toBe("CAMPAIGN_RELEASE_OPEN");
  });

  it("are several for one ECU only as steps of a chain", () => {
    const first = release("1.5.0");
    expect(check(release("2.0.0", { min_current_version: "1.5.0" }), first)).toBe("fine");
    expect(check(first, release("2.0.0"))).toBe("CAMPAIGN_RELEASES_CONFLICT");
    const beyond = release("2.0.0", { min_current_version: "1.6.0" });
    expect(check(first, beyond)).toBe("CAMPAIGN_RELEASES_CONFLICT");
    expect(check(first, release("2.0.0", { hardware_versions: ["HW-2.0"] }))).toBe("fine");
    expect(check(first, release("2.0.0", { ecu_type: "lights" }))).toBe("fine");
  });
});
